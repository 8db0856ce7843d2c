# Rust compilers in Debian's packages, unpacked without being installed: for the other scripts, which source this.
#
# Needs apt-get and dpkg-deb.

shopt -s inherit_errexit

# Prints the newest version of the package with the compiler whose version begins so; root asks for new lists
# if there is none.
debian_version() {
    local package
    command -v apt-get > /dev/null || return 0
    package=$(debian_madison "$1")
    if [[ -z $package && $EUID == 0 ]]; then
        apt-get update --quiet=2
        package=$(debian_madison "$1")
    fi
    echo "$package"
}

debian_madison() {
    apt-cache madison rustc-web | awk -F ' *[|] *' -v version="$1" '
        !found && (version == "" || $2 ~ "^" version "[.+]") { found = 1; print $2 }'
}

# Prints the LLVM that the compiler of a package version needs: libllvm22.
debian_llvm() {
    apt-cache show "libstd-rust-web-$(cut -d . -f 1,2 <<< "$1")=$1" | sed --quiet 's/^Depends:.*\(libllvm[0-9]*\).*/\1/p'
}

# Unpacks the compiler of a package version, with its std, and further packages into a folder.
unpack_debian() {
    local root=$1 package=$2
    shift 2
    unpack_packages "$root" "$(debian_llvm "$package")" "rustc-web=$package" "libstd-rust-web-dev=$package" \
        "libstd-rust-web-$(cut -d . -f 1,2 <<< "$package")=$package" "$@"
}

# Prints a folder with the newest compiler, the sources of std, and what goes with them: lld, LLVM's tools, the libraries
# of the sanitizers. Made if it is not there yet; prints nothing if Debian has none.
debian_with_sources() {
    local root="${CARGO_TARGET_DIR:-$PWD/target}/debian" package llvm
    if [[ ! -e $root ]]; then
        package=$(debian_version "")
        [[ -n $package ]] || return 0
        llvm=$(debian_llvm "$package")
        llvm=${llvm#libllvm}
        # rust-lld is in rust-web-llvm and lld.
        unpack_debian "$root" "$package" "rust-web-src=$package" "rust-web-llvm=$package" "lld-$llvm" "llvm-$llvm" \
            "libclang-rt-$llvm-dev" >&2
        # Where the compiler looks for the library of ThreadSanitizer.
        ln --symbolic "$root/usr/lib/llvm-$llvm/lib/clang/$llvm/lib/linux/libclang_rt.tsan-$(uname --machine).a" \
            "$root/usr/lib/rustlib/$(uname --machine)-unknown-linux-gnu/lib/librustc-stable_rt.tsan.a"
    fi
    echo "$root"
}

# Unpacks packages into a folder.
unpack_packages() {
    local root=$1
    shift
    rm --recursive --force "$root" "$root.part"
    mkdir --parents "$root.part"
    (
        cd "$root.part"
        apt-get download --quiet=2 --option APT::Sandbox::User=root "$@"
        for archive in *.deb; do
            dpkg-deb --extract "$archive" .
            rm "$archive"
        done
    )
    mv "$root.part" "$root"
}
