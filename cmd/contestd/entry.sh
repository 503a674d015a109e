#!/bin/sh
# Starts contestd in its container. A new volume belongs to root, so this runs
# as root just long enough to hand the state folders over.
set -eu

: "${STATE_DIR:=/state}"
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$STATE_DIR/data" "$STATE_DIR/backups" "$STATE_DIR/uploads"
	# Only what is not ours yet: a large uploads folder is not walked twice.
	find "$STATE_DIR" ! -user 65532 -exec chown 65532:65532 {} +
	exec su-exec 65532:65532 "$@"
fi
exec "$@"
