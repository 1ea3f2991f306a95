//! Answers of name servers: the name that was asked for, and its addresses. Total: any bytes give something or nothing.

// From `core`, where there are addresses and no way to use them.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE,
    rdata::{A, AAAA, RData},
};

/// Most addresses of one answer that are taken.
pub const ADDRESSES: usize = 32;

/// Most records of an answer that are looked at: more do not fit into what is told of one.
const RECORDS: u16 = 64;

/// Longest name in octets (RFC 1035, 2.3.4).
const LONGEST: usize = 255;

/// Where the head of a message (RFC 1035, 4.1.1) has its counts, and where it ends.
const QUESTIONS: usize = 4;
const HEAD: usize = 12;

/// The name that a message answers for, and its addresses: those of the name itself, and of what it is another name for.
/// `None` where it is no such answer. Of a message that was cut off what is whole counts.
pub(crate) fn parse(message: &[u8]) -> Option<(String, Vec<IpAddr>)> {
    let mut message = message.to_vec();
    let counts: [u8; 4] = message.get(QUESTIONS..QUESTIONS + 4)?.try_into().ok()?;
    let [_, _, high, low] = counts;
    let records = u16::from_be_bytes([high, low]).min(RECORDS);
    // What follows the answers says nothing of addresses, and may be cut off, as may be the last of them.
    for records in (1..=records).rev() {
        let [high, low] = records.to_be_bytes();
        message.get_mut(QUESTIONS..HEAD)?.copy_from_slice(&[0, 1, high, low, 0, 0, 0, 0]);
        if let Ok(packet) = Packet::parse(&message) {
            return of(&packet);
        }
    }
    None
}

fn of(packet: &Packet<'_>) -> Option<(String, Vec<IpAddr>)> {
    let question = packet.questions.first().filter(|_| packet.has_flags(PacketFlag::RESPONSE))?;
    let name = question.qname.to_string();
    let mut names: Vec<&Name<'_>> = vec![&question.qname];
    let mut addresses = Vec::new();
    for record in &packet.answers {
        if !names.contains(&&record.name) {
            continue;
        }
        match &record.rdata {
            RData::CNAME(other) => names.push(&other.0),
            RData::A(A { address }) => addresses.push(IpAddr::from(Ipv4Addr::from(*address))),
            RData::AAAA(AAAA { address }) => addresses.push(IpAddr::from(Ipv6Addr::from(*address)).to_canonical()),
            _ => {}
        }
    }
    addresses.truncate(ADDRESSES);
    // Escapes and what is no text may make it longer than it was.
    let fits = !name.is_empty() && name.len() <= LONGEST && !addresses.is_empty();
    fits.then_some((name, addresses))
}

/// A message that says this, and nothing else. `None` where the name cannot be written.
pub(crate) fn build(name: &str, addresses: &[IpAddr]) -> Option<Vec<u8>> {
    let name = Name::new(name).ok()?;
    let mut packet = Packet::new_reply(0);
    packet.questions.push(Question::new(name.clone(), QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN), false));
    packet.answers.extend(addresses.iter().map(|address| {
        let data = match address {
            IpAddr::V4(address) => RData::A(A { address: u32::from(*address) }),
            IpAddr::V6(address) => RData::AAAA(AAAA { address: u128::from(*address) }),
        };
        ResourceRecord::new(name.clone(), CLASS::IN, 0, data)
    }));
    packet.build_bytes_vec_compressed().ok()
}

#[cfg(test)]
mod tests {
    use simple_dns::rdata::{CNAME, TXT};

    use super::*;

    fn record<'a>(name: &'a str, data: RData<'a>) -> ResourceRecord<'a> {
        ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, 60, data)
    }

    fn a(last: u8) -> RData<'static> {
        RData::A(A { address: u32::from_be_bytes([203, 0, 113, last]) })
    }

    /// Asked for `api.invalid`.
    fn message(answers: Vec<ResourceRecord<'_>>) -> Vec<u8> {
        let mut packet = Packet::new_reply(7);
        let name = Name::new_unchecked("api.invalid");
        packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN), false));
        packet.answers = answers;
        packet.additional_records.push(record("elsewhere.invalid", a(200)));
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn the_addresses_of_a_name_are_its_own_and_those_of_what_it_stands_for() {
        let other = RData::CNAME(CNAME(Name::new_unchecked("Edge.Invalid")));
        let six = RData::AAAA(AAAA { address: u128::from("2001:db8::7".parse::<Ipv6Addr>().unwrap()) });
        let text = RData::TXT(TXT::new().with_string("of no use").unwrap());
        let answers = vec![
            record("api.invalid", text),
            record("api.invalid", other),
            record("edge.invalid", a(5)),
            record("edge.invalid", six),
            record("unasked.invalid", a(9)),
        ];
        let expected = ("api.invalid".to_owned(), addresses(&["203.0.113.5", "2001:db8::7"]));
        assert_eq!(parse(&message(answers)), Some(expected));
        assert_eq!(parse(&message(vec![record("unasked.invalid", a(9))])), None);
        assert_eq!(parse(&message(vec![])), None);
    }

    #[test]
    fn of_a_message_that_was_cut_off_what_is_whole_counts() {
        let whole = message((0..60).map(|last| record("api.invalid", a(last))).collect());
        let (name, found) = parse(&whole[..512]).unwrap();
        assert_eq!((name.as_str(), found.len()), ("api.invalid", 30), "as many as fit");
        assert_eq!(parse(&whole).unwrap().1.len(), ADDRESSES);
        let mut question = message(vec![record("api.invalid", a(1))]);
        question[2] &= 0x7f;
        assert_eq!(parse(&question), None, "a question is none");
    }

    #[test]
    fn what_is_built_says_the_same() {
        let list = addresses(&["203.0.113.5", "2001:db8::7"]);
        for name in ["api.invalid", r"a\.b.invalid"] {
            let built = build(name, &list).unwrap();
            assert_eq!(parse(&built), Some((name.to_owned(), list.clone())), "{name}");
        }
        assert_eq!(build("", &[]).and_then(|built| parse(&built)), None);
    }

    /// Bytes of an xorshift generator, and a good message with some of them in it.
    #[test]
    fn any_bytes_give_something_or_nothing() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let good = message(vec![record("api.invalid", a(1)), record("api.invalid", a(2))]);
        for _ in 0..20_000 {
            let length = (next() % 600) as usize;
            let random: Vec<u8> = (0..length).map(|_| next() as u8).collect();
            let mut spoilt = good.clone();
            for _ in 0..=next() % 4 {
                let at = (next() as usize) % spoilt.len();
                spoilt[at] = next() as u8;
            }
            spoilt.truncate((next() as usize) % (good.len() * 2));
            for bytes in [random, spoilt] {
                if let Some((name, addresses)) = parse(&bytes) {
                    assert!(name.len() <= LONGEST && addresses.len() <= ADDRESSES);
                }
            }
        }
    }
}
