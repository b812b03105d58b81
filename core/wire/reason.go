package wire

import "strings"

// Reasons that clients act on: of a denial, or of the notice right before a Close.
// After any other a client may try again, and shows the reason to a person.
const (
	// WrongPassword: there is no such user, or it is another password.
	WrongPassword = "wrong name or password"
	// NameTaken: a client of that name is in the room, perhaps a dead connection of the same one.
	NameTaken = "name is taken"
	// Banned: the name, or the address.
	Banned = "you are banned"
	// Kicked: the operator ended it.
	Kicked = "you were asked to leave"
	// Removed: the user is no longer in the users file.
	Removed = "your account was removed"
	// NeedsTLS: the client does not speak it, and the server does nothing else.
	NeedsTLS = "this server speaks TLS: connect with -tls"

	// nameRefused begins every reason for which a name breaks the rules, and NameTaken.
	nameRefused = "name "
)

// Final says whether a client that was turned away for a reason should not come back
// by itself: it would be turned away again, or is not wanted. A wrong password is not
// final, but a try with the same one is of no use.
func Final(reason string) bool {
	switch reason {
	case Banned, Kicked, Removed, NeedsTLS:
		return true
	}
	return strings.HasPrefix(reason, nameRefused) && reason != NameTaken
}
