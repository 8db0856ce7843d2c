# Rust compilers in Debian's packages, unpacked without being installed: for the other scripts, which source this.
#
# Needs apt-get and dpkg-deb.

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
