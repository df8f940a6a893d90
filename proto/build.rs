//! Compiles the .proto files in pure Rust: building Postern needs no system protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let files = proto_files()?;
    for file in &files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(&files, ["."])?;
    let encoded = descriptors.encode_to_vec();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), &encoded)?;

    // Message content and passwords are handed on without a copy.
    tonic_prost_build::configure()
        .bytes(".")
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_well_known_types(true)
        .compile_fds(descriptors)?;

    // The protobuf JSON mapping, for `postern --json`.
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .extern_path(".google.protobuf", "::pbjson_types")
        .build(&[".postern"])?;
    Ok(())
}

fn proto_files() -> Result<Vec<String>, Box<dyn Error>> {
    let mut files = Vec::new();
    for package in ["account", "auth", "delivery"] {
        for entry in fs::read_dir(format!("postern/{package}/v1"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "proto") {
                files.push(path.to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}
