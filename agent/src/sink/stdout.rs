//! On standard output, as text for people or as JSON lines.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
};

use super::{
    Item, Refused, Sink,
    config::{Settings, SinkConfig, Take, Type},
};
use crate::{
    finding::{ocsf::Host, severity::Severity, stored, text::Style},
    yaml::fields::{Fields, Reading, words},
};

/// Most entries in one go.
const BATCH: usize = 64;

/// Its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How it is written.
    pub format: Format,
}

/// Where nothing is configured: text.
#[must_use]
pub fn default_sink() -> SinkConfig {
    SinkConfig {
        name: "stdout".to_owned(),
        min_severity: Severity::Informational,
        take: Take::Findings,
        settings: Settings::Stdout(Config { format: Format::Text }),
    }
}

words! {
    /// How entries are written.
    pub enum Format {
        /// For people.
        Text = "text",
        /// The OCSF object, one a line.
        Json = "json",
    }
}

impl Type for Config {
    fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        Some(Self { format: fields.optional("format", reading).unwrap_or(Format::Text) })
    }

    fn build(&self, _host: &Host) -> Result<Box<dyn Sink>, Box<dyn Error + Send + Sync>> {
        let style = Style { colour: io::stdout().is_terminal() };
        Ok(Box::new(Stream { out: io::stdout(), format: self.format, style }))
    }
}

struct Stream<W> {
    out: W,
    format: Format,
    style: Style,
}

impl<W: Write + Send> Sink for Stream<W> {
    fn batch(&self) -> usize {
        BATCH
    }

    /// What is not written whole is written again whole.
    fn deliver(&mut self, items: &[Item]) -> Result<usize, Refused> {
        let mut page = String::new();
        for item in items {
            page.push_str(&written(item, self.format, self.style));
        }
        let done = self.out.write_all(page.as_bytes()).and_then(|()| self.out.flush());
        done.map(|()| items.len())
            .map_err(|error| Refused::Later { why: format!("write to standard output: {error}"), after: None })
    }
}

fn written(item: &Item, format: Format, style: Style) -> String {
    match (format, serde_json::from_str(&item.body)) {
        (Format::Text, Ok(event)) => stored::render(&event, style) + "\n",
        _ => format!("{}\n", item.body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{finding::samples, sink::fixtures};

    #[test]
    fn text_is_for_people_and_json_is_the_object() {
        let items: Vec<Item> =
            samples::all().iter().enumerate().map(|(id, one)| fixtures::item(id as i64, one)).collect();
        let write = |format| {
            let mut stream = Stream { out: Vec::new(), format, style: Style::default() };
            assert_eq!(stream.deliver(&items), Ok(items.len()));
            String::from_utf8(stream.out).unwrap()
        };
        let (text, json) = (write(Format::Text), write(Format::Json));
        assert!(items.iter().all(|item| text.contains(&item.uid)), "{text}");
        let bodies: Vec<&str> = items.iter().map(|item| item.body.as_str()).collect();
        assert_eq!(json.lines().collect::<Vec<_>>(), bodies);
    }

    #[test]
    fn a_stream_that_takes_nothing_is_tried_again() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut stream = Stream { out: Closed, format: Format::Json, style: Style::default() };
        let refused = stream.deliver(&[fixtures::item(1, &samples::unexpected_reader())]).unwrap_err();
        assert!(matches!(refused, Refused::Later { why, .. } if why.contains("broken pipe")));
    }
}
