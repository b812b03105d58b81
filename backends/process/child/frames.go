package child

// The frames of package wire, as far as their ends are found. That package is not
// imported: before a package its imports are initialised, and with them others of
// which the names come first in the alphabet, of which a server has a hundred.
const (
	fileType    = 2 // its second octet is a command, which may be NUL
	lastType    = 3
	lastCommand = 6
)

// frames follows the frames in what a client sends, and keeps none of it.
type frames struct {
	max  int  // octets in a frame, its first and its last included
	seen int  // octets of the frame that is not over
	file bool // that has a command
}

// sound is false when what follows is no frame, or one that is too long.
func (f *frames) sound(in []byte) bool {
	for _, c := range in {
		f.seen++
		switch {
		case f.seen == 1:
			if c > lastType {
				return false
			}
			f.file = c == fileType
		case f.seen == 2 && f.file:
			if c > lastCommand {
				return false
			}
		case c == 0:
			f.seen = 0
		}
		if f.seen >= f.max {
			return false
		}
	}
	return true
}
