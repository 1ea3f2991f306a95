//! How old tokens are, as a picture inside the page.

use maud::{Markup, html};

/// Upper ends of the bars, in days, and what is written below them.
const BARS: [(i64, &str); 7] = [
    (1, "a day"),
    (7, "a week"),
    (30, "a month"),
    (90, "3 months"),
    (365, "a year"),
    (730, "2 years"),
    (i64::MAX, "older"),
];
const WIDTH: usize = 90;
const HEIGHT: usize = 140;

/// Bars for ages in days; tokens that end by themselves lie below the others.
pub(super) fn ages(ages: &[(i64, bool)]) -> Markup {
    let mut counts = [[0_usize; 2]; BARS.len()];
    for (days, ends) in ages {
        if let Some(bar) = BARS.iter().position(|(limit, _)| days < limit) {
            counts[bar][usize::from(!ends)] += 1;
        }
    }
    let most = counts.iter().map(|[ends, stays]| ends + stays).max().unwrap_or(0).max(1);
    let height = |count: usize| (count * HEIGHT).div_ceil(most);
    let (width, whole) = (WIDTH * BARS.len(), HEIGHT + 50);
    html! {
        svg viewBox=(format!("0 0 {width} {whole}")) role="img" aria-label="Number of tokens by age" {
            @for (number, ((_, name), [ends, stays])) in BARS.iter().zip(counts).enumerate() {
                @let x = number * WIDTH + 10;
                @let (low, high) = (height(ends), height(ends + stays));
                rect.ends x=(x) y=(20 + HEIGHT - low) width=(WIDTH - 20) height=(low) {}
                rect.stays x=(x) y=(20 + HEIGHT - high) width=(WIDTH - 20) height=(high - low) {}
                text x=(x + WIDTH / 2 - 10) y=(14 + HEIGHT - high) text-anchor="middle" { (ends + stays) }
                text x=(x + WIDTH / 2 - 10) y=(HEIGHT + 40) text-anchor="middle" { (name) }
            }
        }
        p.legend { span.key.ends {} " end by themselves " span.key.stays {} " good until somebody revokes them, or not known" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_in_a_bar() {
        let page = ages(&[(0, true), (1, false), (400, false), (10_000, true)]).into_string();
        assert_eq!(page.matches(r#"<text x="45" y="14">1"#).count() + page.matches(">1</text>").count(), 4, "{page}");
    }
}
