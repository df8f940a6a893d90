//! Builds a folder of manifests as kustomize does, as far as ours use it. A field of kustomization.yaml that is not known here
//! is an error, and so is a change that changes nothing.

use std::{fs, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Kustomization {
    api_version: String,
    kind: String,
    namespace: String,
    resources: Vec<String>,
    #[serde(default)]
    generator_options: Option<GeneratorOptions>,
    #[serde(default)]
    secret_generator: Vec<SecretGenerator>,
    #[serde(default)]
    images: Vec<Image>,
    #[serde(default)]
    replicas: Vec<Replicas>,
    #[serde(default)]
    patches: Vec<Patch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GeneratorOptions {
    disable_name_suffix_hash: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretGenerator {
    name: String,
    files: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Image {
    name: String,
    /// Absent: the name stays.
    #[serde(default)]
    new_name: Option<String>,
    new_tag: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replicas {
    name: String,
    count: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    target: Target,
    patch: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    kind: String,
    name: Option<String>,
}

/// One step of a JSON patch (RFC 6902).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    op: String,
    path: String,
    value: Value,
}

/// All documents of a YAML file.
pub(crate) fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap_or_else(|e| panic!("{}: {e}", file.display())))
        .collect()
}

/// The objects that `kubectl apply -k` would send.
pub(crate) fn build(folder: &Path) -> Vec<Value> {
    let file = folder.join("kustomization.yaml");
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let rules: Kustomization =
        serde_yaml_ng::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    assert_eq!(
        (rules.api_version.as_str(), rules.kind.as_str()),
        ("kustomize.config.k8s.io/v1beta1", "Kustomization")
    );
    let mut objects = Vec::new();
    for resource in &rules.resources {
        let path = folder.join(resource);
        if path.is_dir() { objects.extend(build(&path)) } else { objects.extend(documents(&path)) }
    }
    if !rules.secret_generator.is_empty() {
        // Else names would end in a hash, and nothing would find them by name.
        assert!(rules.generator_options.as_ref().is_some_and(|options| options.disable_name_suffix_hash));
    }
    objects.extend(rules.secret_generator.iter().map(generated));
    for object in &mut objects {
        if kind(object) != "Namespace" {
            object["metadata"]["namespace"] = json!(rules.namespace);
        }
    }
    for image in &rules.images {
        let changed = change(&mut objects, |object| rename_images(object, image));
        assert!(changed > 0, "no container has the image {}", image.name);
    }
    for replicas in &rules.replicas {
        let changed = change(&mut objects, |object| {
            let meant = kind(object) == "Deployment" && name(object) == replicas.name;
            if meant {
                object["spec"]["replicas"] = json!(replicas.count);
            }
            meant
        });
        assert_eq!(changed, 1, "replicas of {}", replicas.name);
    }
    for patch in &rules.patches {
        let steps: Vec<Step> = serde_yaml_ng::from_str(&patch.patch).expect("a JSON patch");
        let changed = change(&mut objects, |object| {
            let meant = kind(object) == patch.target.kind
                && patch.target.name.as_ref().is_none_or(|of| name(object) == of);
            if meant {
                steps.iter().for_each(|step| step.apply(object));
            }
            meant
        });
        assert!(changed > 0, "no {} {:?} to patch", patch.target.kind, patch.target.name);
    }
    objects
}

pub(crate) fn kind(object: &Value) -> &str {
    object["kind"].as_str().expect("a kind")
}

pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("a name")
}

fn change(objects: &mut [Value], mut change: impl FnMut(&mut Value) -> bool) -> usize {
    objects.iter_mut().map(|object| usize::from(change(object))).sum()
}

/// A Secret with the names of its files as keys; the files are made by scripts/make-secrets.
fn generated(secret: &SecretGenerator) -> Value {
    let keys = secret.files.iter().map(|file| {
        let key = Path::new(file).file_name().and_then(|name| name.to_str()).expect("a file name");
        (key.to_owned(), json!(""))
    });
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret.name},
           "data": keys.collect::<serde_json::Map<_, _>>()})
}

fn rename_images(object: &mut Value, image: &Image) -> bool {
    let Some(containers) = object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut)
    else {
        return false;
    };
    let mut found = false;
    for container in containers.iter_mut().filter(|container| container["image"] == json!(image.name)) {
        let called = image.new_name.as_ref().unwrap_or(&image.name);
        container["image"] = json!(format!("{called}:{}", image.new_tag));
        found = true;
    }
    found
}

impl Step {
    fn apply(&self, object: &mut Value) {
        let (parent, last) = self.path.rsplit_once('/').expect("a JSON pointer");
        let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {}", self.path));
        match (self.op.as_str(), parent) {
            ("add", Value::Array(items)) if last == "-" => items.push(self.value.clone()),
            ("add", Value::Object(fields)) => {
                let before = fields.insert(last.to_owned(), self.value.clone());
                assert!(before.is_none(), "{} was there: replace it", self.path);
            }
            ("replace", Value::Object(fields)) => {
                let before = fields.insert(last.to_owned(), self.value.clone());
                assert!(before.is_some(), "{} was not there: add it", self.path);
            }
            (op, _) => panic!("{op} {} is not known here", self.path),
        }
    }
}
