package wire

import "strings"

// Reasons on which clients act, in a denial or in the notice right before a Close. After
// any other reason a client may try again, and shows the reason to its user.
const (
	// WrongPassword: there is no such user, or the password is wrong.
	WrongPassword = "wrong name or password"
	// NameTaken: a client of that name is in the room, perhaps a dead connection of the same one.
	NameTaken = "name is taken"
	// Banned: the name or the address is banned.
	Banned = "you are banned"
	// Kicked: the operator ended the session.
	Kicked = "you were asked to leave"
	// Removed: the user is no longer in the users file.
	Removed = "your account was removed"
	// NeedsTLS: the client does not use TLS, and the server requires it.
	NeedsTLS = "this server speaks TLS: connect with -tls"

	// nameRefused begins NameTaken, and every reason why a name is invalid.
	nameRefused = "name "
)

// Final says whether a client that was turned away for a reason should not reconnect by
// itself: it would be turned away again, or is not wanted. A wrong password is not
// final, but another try needs another password.
func Final(reason string) bool {
	switch reason {
	case Banned, Kicked, Removed, NeedsTLS:
		return true
	}
	return strings.HasPrefix(reason, nameRefused) && reason != NameTaken
}
