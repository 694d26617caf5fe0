"""What the tests stand on: a started proxy, client processes, certificates, ports."""
