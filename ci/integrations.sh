#!/usr/bin/env bash
# Runs the programs in integrations/, with little to do.
#
# Needs cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo run --locked --manifest-path integrations/async_server/Cargo.toml -- --connections 8 --requests 20 --slots 2
