package wire

import "testing"

func TestFinal(t *testing.T) {
	for reason, want := range map[string]bool{
		Banned: true, Kicked: true, Removed: true, NeedsTLS: true,
		"name is reserved": true, "name mixes scripts": true,
		NameTaken: false, WrongPassword: false, "": false, "name": false,
		"server is full": false, "server is busy, try again": false, "server is going down": false,
		"too many wrong passwords, wait a minute": false, "too many logins at once": false,
		"too many connections from your address": false, "no login in time": false,
	} {
		if got := Final(reason); got != want {
			t.Errorf("Final(%q) = %v", reason, got)
		}
	}
}
