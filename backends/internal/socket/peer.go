package socket

import "golang.org/x/sys/unix"

// Ending is how a peer has ended its side of a connection, as far as the socket shows without
// being read.
type Ending uint8

// The endings.
const (
	Connected       Ending = iota // the peer has not ended it
	Finished                      // by a FIN, whatever came after it
	Reset                         // by an error
	AlreadyReported               // it has, and a call before this one was told how
)

// PeerHasLeft says whether the peer has sent its FIN, or the connection has ended. It sees a
// FIN behind input that is not read yet, but none that the peer's kernel holds back until
// there is room for what comes before it.
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

// PeerEnding says how the peer has ended its side. It takes the error of an ended connection
// off the socket: after Reset no read will report it.
func PeerEnding(fd int) Ending {
	left, closed := peerState(fd)
	switch {
	case !left:
		return Connected
	case !closed:
		return Finished
	}
	errno, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch unix.Errno(errno) {
	case 0:
		return AlreadyReported
	case unix.EPIPE: // the reset came after a FIN
		return Finished
	}
	return Reset
}
