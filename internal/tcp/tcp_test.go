package tcp

import "testing"

func TestNetwork(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:1": "tcp4", "127.0.0.1:0": "tcp4", "[::ffff:10.0.0.1]:1": "tcp4",
		"[::1]:1": "tcp6", "[fe80::1%eth0]:1": "tcp6",
		"[::]:1": "tcp", ":1": "tcp", "localhost:1": "tcp", "nonsense": "tcp",
	} {
		if got := Network(listen); got != want {
			t.Errorf("%s is of network %s, want %s", listen, got, want)
		}
	}
}
