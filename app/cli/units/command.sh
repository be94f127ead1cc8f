#!/bin/sh
# Written by `chargeback systemd install`. When root calls it, it runs the command as the service's user on the
# service's data folder.
export CHARGEBACK_DATA_DIR="$${CHARGEBACK_DATA_DIR:-/var/lib/chargeback}"
if [ "$$1" != systemd ] && [ "$$(id -u)" -eq 0 ]; then
    exec runuser -u chargeback -- "$program" "$$@"
fi
exec "$program" "$$@"
