package child

// The frames of package wire, as far as is needed to find their ends. That package is not
// imported, because then this package would be initialised after it: Go initialises packages
// whose imports are ready in the order of their names, so a hundred packages of a server would come
// before.
const (
	fileType    = 2 // its second octet is a command, which may be NUL
	lastType    = 3
	lastCommand = 6
)

// frames finds the ends of the frames in what a client sends. It keeps no octets.
type frames struct {
	max  int  // octets in a frame, including its first and last
	seen int  // octets so far of the current frame
	file bool // the current frame has a command
}

// valid takes the next octets. It returns false if a frame is invalid or too long.
func (f *frames) valid(in []byte) bool {
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
