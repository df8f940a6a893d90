//! The gRPC face as other people's programs know it: everything is documented, and nothing they rely on goes away.
//!
//! `proto/contract.txt` has a line for each thing that a client can rely on. A line that is gone is a breaking change. What is
//! new must be added to it (`make contract`), so that it is guarded from then on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    path::Path,
};

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(postern_proto::DESCRIPTORS).unwrap();
    set.file.into_iter().filter(|file| file.package().starts_with("postern.")).collect()
}

/// Whether a oneof is only how `optional` is written down.
fn is_synthetic(message: &DescriptorProto, oneof: usize) -> bool {
    let of_it = |field: &&FieldDescriptorProto| {
        field.oneof_index.and_then(|index| usize::try_from(index).ok()) == Some(oneof)
    };
    message.field.iter().filter(of_it).all(FieldDescriptorProto::proto3_optional)
}

/// Paths of descriptor.proto: 4 messages (2 fields, 3 nested, 4 enums, 8 oneofs), 5 enums (2 values), 6 services (2 methods).
fn undocumented(file: &FileDescriptorProto) -> Vec<String> {
    let info = file.source_code_info.clone().unwrap_or_default();
    let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    let documented: HashSet<Vec<i32>> = info
        .location
        .into_iter()
        .filter(|place| said(&place.leading_comments) || said(&place.trailing_comments))
        .map(|place| place.path)
        .collect();
    let mut missing = Vec::new();
    let mut ask = |path: Vec<i32>, name: String| {
        if !documented.contains(&path) {
            missing.push(format!("{}: {name}", file.name()));
        }
    };
    let number = |index: usize| i32::try_from(index).unwrap();
    for (at, message) in file.message_type.iter().enumerate() {
        assert!(message.nested_type.is_empty(), "{}: nested messages are not looked into", message.name());
        ask(vec![4, number(at)], message.name().to_owned());
        for (inner, field) in message.field.iter().enumerate() {
            ask(vec![4, number(at), 2, number(inner)], format!("{}.{}", message.name(), field.name()));
        }
        for (inner, oneof) in message.oneof_decl.iter().enumerate() {
            if !is_synthetic(message, inner) {
                ask(vec![4, number(at), 8, number(inner)], format!("{}.{}", message.name(), oneof.name()));
            }
        }
    }
    for (at, values) in file.enum_type.iter().enumerate() {
        ask(vec![5, number(at)], values.name().to_owned());
        for (inner, value) in values.value.iter().enumerate().filter(|(_, value)| value.number() != 0) {
            ask(vec![5, number(at), 2, number(inner)], value.name().to_owned());
        }
    }
    for (at, service) in file.service.iter().enumerate() {
        ask(vec![6, number(at)], service.name().to_owned());
        for (inner, method) in service.method.iter().enumerate() {
            ask(vec![6, number(at), 2, number(inner)], format!("{}.{}", service.name(), method.name()));
        }
    }
    missing
}

#[test]
fn everything_is_documented() {
    let missing: Vec<String> = files().iter().flat_map(undocumented).collect();
    assert!(missing.is_empty(), "no comment in the .proto file above\n{}", missing.join("\n"));
}

/// A line for each thing that a client can rely on.
fn promises() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for file in files() {
        let package = file.package().to_owned();
        file.message_type.iter().for_each(|message| of_message(&package, message, &mut lines));
        file.enum_type.iter().for_each(|values| of_enum(&package, values, &mut lines));
        for service in &file.service {
            for method in &service.method {
                let stream = |is: bool| if is { "stream " } else { "" };
                lines.insert(format!(
                    "rpc {package}.{}/{} ({}{}) returns ({}{})",
                    service.name(),
                    method.name(),
                    stream(method.client_streaming()),
                    method.input_type(),
                    stream(method.server_streaming()),
                    method.output_type()
                ));
            }
        }
    }
    lines
}

fn of_message(package: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{package}.{}", message.name());
    lines.insert(format!("message {name}"));
    for field in &message.field {
        let oneof = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
        let shape = match (field.proto3_optional(), field.label(), oneof) {
            (true, ..) => "optional ".to_owned(),
            (false, Label::Repeated, _) => "repeated ".to_owned(),
            (false, _, Some(oneof)) => format!("oneof {} ", oneof.name()),
            (false, _, None) => String::new(),
        };
        let kind = match field.r#type() {
            Type::Message | Type::Enum => field.type_name().to_owned(),
            plain => plain.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        };
        lines.insert(format!("field {name}.{} = {}: {shape}{kind}", field.name(), field.number()));
    }
}

fn of_enum(package: &str, values: &EnumDescriptorProto, lines: &mut BTreeSet<String>) {
    for value in &values.value {
        lines.insert(format!("value {package}.{}.{} = {}", values.name(), value.name(), value.number()));
    }
}

fn snapshot() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contract.txt")
}

/// What is promised in writing and is not there.
fn broken(written: &BTreeSet<String>, compiled: &BTreeSet<String>) -> Vec<String> {
    written.difference(compiled).cloned().collect()
}

#[test]
fn nothing_that_clients_rely_on_is_gone() {
    let compiled = promises();
    if std::env::var("POSTERN_WRITE_CONTRACT").is_ok_and(|wanted| wanted == "true") {
        let lines: Vec<&str> = compiled.iter().map(String::as_str).collect();
        fs::write(snapshot(), lines.join("\n") + "\n").unwrap();
        return;
    }
    let text = fs::read_to_string(snapshot()).unwrap();
    let written: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let gone = broken(&written, &compiled);
    assert!(
        gone.is_empty(),
        "a breaking change: these were promised and are gone, renumbered or of another type\n{}\n\
         (add a new field or call instead; `make contract` only before a first release)",
        gone.join("\n")
    );
    let new = broken(&compiled, &written);
    assert!(new.is_empty(), "new and not guarded yet: run `make contract`\n{}", new.join("\n"));
}

/// That the check can fail: each kind of breaking change is told from the snapshot.
#[test]
fn breaking_changes_are_noticed() {
    let written = promises();
    for (from, to) in [
        (
            "rpc postern.account.v1.MailboxService/GetMailbox ",
            "rpc postern.account.v1.MailboxService/ReadMailbox ",
        ),
        (
            "returns (stream .postern.account.v1.WatchChangesResponse)",
            "returns (.postern.account.v1.WatchChangesResponse)",
        ),
        (
            "field postern.account.v1.Mailbox.address = 2: string",
            "field postern.account.v1.Mailbox.address = 20: string",
        ),
        (
            "field postern.account.v1.Mailbox.address = 2: string",
            "field postern.account.v1.Mailbox.address = 2: bytes",
        ),
        ("Mailbox.quota_bytes = 12: optional int64", "Mailbox.quota_bytes = 12: int64"),
        ("NewPassword.plain = 1: oneof secret string", "NewPassword.plain = 1: string"),
        (
            "value postern.account.v1.DomainState.DOMAIN_STATE_LIVE = 2",
            "value postern.account.v1.DomainState.DOMAIN_STATE_LIVE = 3",
        ),
        ("message postern.account.v1.Mailbox", "message postern.account.v1.Box"),
    ] {
        let mut hit = 0;
        let changed: BTreeSet<String> = written
            .iter()
            .map(|line| {
                if line.ends_with(from) || (line.starts_with(from) && from.ends_with(' ')) {
                    hit += 1;
                    line.replace(from, to)
                } else {
                    line.clone()
                }
            })
            .collect();
        assert!(hit > 0, "no line has {from}");
        assert_eq!(broken(&written, &changed).len(), hit, "{from}");
        assert!(broken(&written, &written).is_empty());
    }
}
