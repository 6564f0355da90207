# Sourced by what needs another Debian than this one, in a folder: debian_folder makes it, debian_run
# runs in it.  Root alone can; nothing of the machine's own is changed but that debootstrap is installed,
# and what was mounted is gone with the command.
#
# Expects copy_tree of test/prepare.sh.

# The mirror that this machine takes Debian from.
debian_mirror() {
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1
}

# debian_folder SUITE FOLDER: a bare Debian, and in it this tree in /cpis, which an unprivileged user may
# not write to.
debian_folder() {
	local suite=$1 folder=$2 script=/usr/share/debootstrap/scripts/$1 file
	# An older debootstrap does not know a newer suite, which is made as the newest that it knows.
	[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
	mkdir -p "$folder"
	debootstrap --variant=minbase --include=ca-certificates,make "$suite" "$folder" "$(debian_mirror)" "$script" ||
		return 1
	# The machine may reach its mirror by a proxy that it trusts and others do not know.
	for file in /etc/apt/apt.conf.d/*proxy*; do
		[ ! -e "$file" ] || cp "$file" "$folder/etc/apt/apt.conf.d"
	done
	[ -z "${NODE_EXTRA_CA_CERTS:-}" ] || cp "$NODE_EXTRA_CA_CERTS" "$folder/etc/ssl/certs/ca-certificates.crt"
	echo 'Acquire::Check-Valid-Until "false";' >"$folder/etc/apt/apt.conf.d/99cpis"
	copy_tree "$folder/cpis"
}

# debian_add SUITE FOLDER: have it take packages from this suite, too, that its own does not have.
debian_add() {
	echo "deb $(debian_mirror) $1 main" >>"$2/etc/apt/sources.list"
	chroot "$2" apt-get update -qq
}

# debian_run FOLDER COMMAND...: run in /cpis of the folder, with processes, mounts and System V semaphores
# of its own, none of which outlive it.
debian_run() {
	local folder=$1
	shift
	unshare --mount --pid --ipc --fork --kill-child bash -c '
		mount --rbind /dev "$0/dev" && mount -t tmpfs tmpfs "$0/dev/shm" && mount --rbind /sys "$0/sys" &&
			mount -t proc proc "$0/proc" || exit
		exec chroot "$0" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "$@"' "$folder" \
		bash -c 'cd /cpis && exec "$@"' bash "$@"
}
