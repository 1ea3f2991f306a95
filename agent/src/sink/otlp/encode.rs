//! Items as OTLP log records. Pure.

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use serde_json::Value as Json;

use crate::{
    finding::{ocsf::Host, severity::Severity},
    sink::{Item, facts::Facts},
    yaml::fields::words,
};

words! {
    /// What the body of a record is.
    pub enum Form {
        /// The OCSF object as a structure.
        Structured = "structured",
        /// The OCSF object as JSON text.
        Json = "json",
    }
}

/// The request for some items.
#[must_use]
pub fn request(host: &Host, form: Form, items: &[Item]) -> ExportLogsServiceRequest {
    let scope = InstrumentationScope {
        name: "tokenhound".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    let records = items.iter().map(|item| record(form, item)).collect();
    let logs = ScopeLogs { scope: Some(scope), log_records: records, ..Default::default() };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(host)),
            scope_logs: vec![logs],
            ..Default::default()
        }],
    }
}

/// Names as in OpenTelemetry's semantic conventions.
fn resource(host: &Host) -> Resource {
    let mut attributes = vec![
        pair("service.name", "tokenhound"),
        pair("service.version", env!("CARGO_PKG_VERSION")),
        pair("os.type", "linux"),
    ];
    attributes.extend(host.hostname.as_deref().map(|name| pair("host.name", name)));
    Resource { attributes, ..Default::default() }
}

/// OpenTelemetry's data model of logs, "Mapping of SeverityNumber": informational 9, low 10, medium 13, high 17, critical 21.
#[must_use]
pub const fn severity(severity: Severity) -> SeverityNumber {
    match severity {
        Severity::Informational => SeverityNumber::Info,
        Severity::Low => SeverityNumber::Info2,
        Severity::Medium => SeverityNumber::Warn,
        Severity::High => SeverityNumber::Error,
        Severity::Critical => SeverityNumber::Fatal,
    }
}

fn record(form: Form, item: &Item) -> LogRecord {
    let facts = Facts::of(item);
    let nanoseconds = u64::try_from(item.time.as_nanosecond()).unwrap_or(0);
    let mut attributes = vec![
        pair("tokenhound.uid", &item.uid),
        pair("tokenhound.kind", item.kind.name()),
        pair("tokenhound.detector", &item.detector),
    ];
    for (name, text) in [
        ("tokenhound.incident", &facts.incident),
        ("tokenhound.store", &facts.store),
        ("tokenhound.actor", &facts.actor),
        ("tokenhound.fingerprint", &facts.fingerprint),
        ("file.path", &facts.path),
        ("process.executable.path", &facts.reader),
        ("user.name", &facts.user),
    ] {
        attributes.extend(text.as_deref().map(|text| pair(name, text)));
    }
    if let Some(pid) = facts.pid {
        let value = AnyValue { value: Some(Value::IntValue(i64::try_from(pid).unwrap_or(i64::MAX))) };
        attributes.push(KeyValue { key: "process.pid".to_owned(), value: Some(value), ..Default::default() });
    }
    let body = match (form, serde_json::from_str(&item.body)) {
        (Form::Structured, Ok(object)) => structured(object),
        _ => text(&item.body),
    };
    LogRecord {
        time_unix_nano: nanoseconds,
        // When the agent saw it: findings are made within a moment of the access.
        observed_time_unix_nano: nanoseconds,
        severity_number: severity(item.severity) as i32,
        severity_text: item.severity.name().to_owned(),
        event_name: format!("tokenhound.{}", item.kind.name()),
        body: Some(body),
        attributes,
        ..Default::default()
    }
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text(value)), ..Default::default() }
}

fn text(value: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(value.to_owned())) }
}

/// JSON as a value of OTLP. Its depth is that of our own objects, below 20.
fn structured(json: Json) -> AnyValue {
    let value = match json {
        Json::Null => None,
        Json::Bool(value) => Some(Value::BoolValue(value)),
        Json::Number(number) => Some(match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Value::IntValue(value),
            (None, Some(value)) => Value::DoubleValue(value),
            (None, None) => Value::StringValue(number.to_string()),
        }),
        Json::String(value) => Some(Value::StringValue(value)),
        Json::Array(values) => {
            Some(Value::ArrayValue(ArrayValue { values: values.into_iter().map(structured).collect() }))
        }
        Json::Object(map) => {
            let pair = |(key, value)| KeyValue { key, value: Some(structured(value)), ..Default::default() };
            Some(Value::KvlistValue(KeyValueList { values: map.into_iter().map(pair).collect() }))
        }
    };
    AnyValue { value }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use serde_json::json;

    use super::*;
    use crate::sink::samples;

    fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
        attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()
    }

    #[test]
    fn a_record_says_when_what_and_how_bad() {
        let host = Host { hostname: Some("build-7".to_owned()), ..Host::default() };
        let request = request(&host, Form::Structured, &[samples::finding(1), samples::incident(2, false)]);
        let sent = ExportLogsServiceRequest::decode(request.encode_to_vec().as_slice()).unwrap();
        assert_eq!(sent, request);
        let logs = &sent.resource_logs[0];
        let about = &logs.resource.as_ref().unwrap().attributes;
        assert_eq!(value(about, "service.name"), Some(&Value::StringValue("tokenhound".to_owned())));
        assert_eq!(value(about, "host.name"), Some(&Value::StringValue("build-7".to_owned())));
        let [finding, incident] = logs.scope_logs[0].log_records.as_slice() else { unreachable!() };
        assert_eq!(finding.time_unix_nano, 1_796_029_200_123_456_789);
        assert_eq!((finding.severity_number, finding.severity_text.as_str()), (13, "medium"));
        assert_eq!(
            (finding.event_name.as_str(), incident.event_name.as_str()),
            ("tokenhound.finding", "tokenhound.incident")
        );
        assert_eq!(value(&finding.attributes, "process.pid"), Some(&Value::IntValue(42)));
        assert_eq!(value(&incident.attributes, "tokenhound.incident"), Some(&Value::StringValue("i-7".to_owned())));
        let Some(Value::KvlistValue(body)) = finding.body.as_ref().and_then(|body| body.value.clone()) else {
            unreachable!()
        };
        assert_eq!(value(&body.values, "class_uid"), Some(&Value::IntValue(2004)));
    }

    #[test]
    fn json_keeps_its_types() {
        let Some(Value::KvlistValue(map)) = structured(json!({"a": [1, 2.5, true, null, "x"], "b": u64::MAX})).value
        else {
            unreachable!()
        };
        let Some(Value::ArrayValue(list)) = value(&map.values, "a") else { unreachable!() };
        let values: Vec<_> = list.values.iter().map(|value| value.value.clone()).collect();
        assert_eq!(
            values,
            [
                Some(Value::IntValue(1)),
                Some(Value::DoubleValue(2.5)),
                Some(Value::BoolValue(true)),
                None,
                Some(Value::StringValue("x".to_owned()))
            ]
        );
        assert!(matches!(value(&map.values, "b"), Some(Value::DoubleValue(_))));
    }

    #[test]
    fn text_is_the_object_as_it_is() {
        let item = samples::finding(1);
        assert_eq!(record(Form::Json, &item).body, Some(text(&item.body)));
    }
}
