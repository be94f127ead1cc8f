"""The feed's own process: what stores events stands in nobody's way who reads a report.

`serve` starts it and hands deliveries over, through a pair of sockets that nobody else has. The
process ends when its end of the pair does, whatever became of `serve`; when the process ends
before, it is started anew, and whoever waited for it is told to send the batch again.
"""
