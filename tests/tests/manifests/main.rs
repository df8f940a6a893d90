//! What a platform team takes: docker-compose.yml, the manifests under k8s/, dashboards and alerts. They are held against the
//! services themselves: names of settings against `--help`, arrows of the network against who can be told which URL,
//! metrics against the code.

mod compose;
mod house;
mod kubernetes;
mod kustomize;
mod metrics;
mod network;
mod observability;
mod runbook;
mod settings;
mod sizes;
