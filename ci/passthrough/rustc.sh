#!/usr/bin/env bash
# The compiler with passthrough. Cargo calls it for this repository's packages only, so that those that they depend on
# are not compiled once more.
exec "$@" --cfg fastalloc_passthrough -Dwarnings
