# Settings for AddressSanitizer and LeakSanitizer: for the other scripts, which source this.
#
# Needs cargo on Linux; the sanitizers come with the compiler, which is told to take its unstable options.

export RUSTC_BOOTSTRAP=1
# Without the stack: in the tests there are types too large for the table of what is where in a frame.
export RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes -Cllvm-args=-asan-stack=0"
export RUSTDOCFLAGS="$RUSTFLAGS"
# What cannot be allocated is to be an error of the pool, as it is without the sanitizer.
export ASAN_OPTIONS="allocator_may_return_null=1:detect_leaks=1"

# With a target, the flags are not for procedural macros, which run inside the compiler.
host=$(rustc --version --verbose | sed --quiet 's/^host: //p')
