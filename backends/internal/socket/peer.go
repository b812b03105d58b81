package socket

import "golang.org/x/sys/unix"

// Ending is how a peer has ended its side of a connection, as far as its socket
// tells without being read.
type Ending uint8

// The endings.
const (
	Stays    Ending = iota // it has not
	Finished               // by FIN, whatever came after that
	Reset                  // by an error
	Ended                  // and the socket has told once how
)

// PeerHasLeft says whether the peer has sent its FIN, or the connection is no more.
// It sees a FIN behind what is not read yet, but none that the peer's kernel holds
// back until there is room for what comes before it.
func PeerHasLeft(fd int) bool {
	left, _ := peerState(fd)
	return left
}

func peerState(fd int) (left, closed bool) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return true, true
	}
	switch info.State {
	case unix.BPF_TCP_ESTABLISHED, unix.BPF_TCP_FIN_WAIT1, unix.BPF_TCP_FIN_WAIT2:
		return false, false
	}
	return true, info.State == unix.BPF_TCP_CLOSE
}

// PeerEnding says how the peer has left. The error of a connection that is no more
// is taken off the socket: whoever is told of Reset must not ask reads for it.
func PeerEnding(fd int) Ending {
	left, closed := peerState(fd)
	switch {
	case !left:
		return Stays
	case !closed:
		return Finished
	}
	errno, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch unix.Errno(errno) {
	case 0:
		return Ended
	case unix.EPIPE: // a reset after a FIN
		return Finished
	}
	return Reset
}
