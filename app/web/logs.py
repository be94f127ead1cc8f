"""The service's log."""

import logging

log = logging.getLogger("chargeback")
