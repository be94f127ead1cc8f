#!/bin/sh
# Written by `chargeback aio install`: what root asks for is done as the service's user, on the service's data.
export CHARGEBACK_DATA_DIR="$${CHARGEBACK_DATA_DIR:-/var/lib/chargeback}"
if [ "$$1" != aio ] && [ "$$(id -u)" -eq 0 ]; then
    exec runuser -u chargeback -- "$program" "$$@"
fi
exec "$program" "$$@"
