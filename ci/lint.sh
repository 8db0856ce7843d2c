#!/usr/bin/env bash
# Checks form: formatting, clippy and documentation, with every warning an error.
#
# Needs cargo with the components rustfmt and clippy.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --check --all
cargo fmt --check --manifest-path bench/Cargo.toml
cargo fmt --check --manifest-path cfail/Cargo.toml
cargo fmt --check --manifest-path ci/no_std/Cargo.toml
cargo fmt --check --manifest-path ci/passthrough/Cargo.toml
cargo fmt --check --manifest-path ci/mutants/Cargo.toml
cargo fmt --check --manifest-path fuzz/Cargo.toml
cargo fmt --check --manifest-path ci/public_api/Cargo.toml
cargo fmt --check --manifest-path ci/recorder/Cargo.toml
cargo fmt --check --manifest-path integrations/async_server/Cargo.toml

export RUSTFLAGS="-D warnings"
export RUSTDOCFLAGS="-D warnings"
cargo clippy --locked --workspace --all-targets --all-features
cargo clippy --locked --package fastalloc --all-targets --no-default-features
cargo clippy --locked --manifest-path cfail/Cargo.toml
cargo clippy --locked --manifest-path ci/no_std/Cargo.toml
cargo clippy --locked --manifest-path ci/mutants/Cargo.toml
cargo clippy --locked --manifest-path ci/passthrough/Cargo.toml
cargo clippy --locked --manifest-path ci/public_api/Cargo.toml
cargo clippy --locked --manifest-path ci/recorder/Cargo.toml
cargo clippy --locked --manifest-path integrations/async_server/Cargo.toml --all-targets
cargo doc --locked --workspace --all-features --no-deps
