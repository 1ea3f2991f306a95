//! Arguments and exit codes, nothing else.
fn main() {
    if std::env::args().count() > 1 {
        return;
    }
    {
        let mut sensor = match tokenhound::probe::load::Sensor::start(None) {
            Ok(sensor) => sensor,
            Err(error) => {
                eprintln!("{error}");
                return;
            }
        };
        println!("{:?}\n{:?}", sensor.plan, sensor.facts);
        for proof in tokenhound::probe::selftest::prove(&mut sensor, std::path::Path::new("/tmp")) {
            println!("{proof:?}");
        }
        println!("{:?} {:?}", sensor.lost(), sensor.verified_instructions());
        if std::env::var_os("HOLD").is_some() {
            loop {
                sensor.rings.wait(None, std::time::Duration::from_secs(1)).unwrap();
                sensor.rings.drain(|_, _| ());
            }
        }
        let decoder = tokenhound::ingest::decode::Decoder::default();
        for (ring, bytes) in &sensor.early {
            println!("{ring:?} {:#?}", decoder.decode(bytes));
        }
    }
}
