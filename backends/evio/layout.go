package evio

import (
	"fmt"
	"reflect"

	lib "github.com/tidwall/evio"
	"golang.org/x/sys/unix"
)

// layout is where evio v1.0.8 keeps what its interface does not give: the descriptor of a
// connection, its unsent output, and the epoll descriptor of its loop. They are only read,
// and only on the loop's goroutine.
type layout struct {
	fd, out, loop, poll, epoll int // indexes of fields
}

// layoutOf finds the fields, and fails if they are not as in v1.0.8.
func layoutOf(c lib.Conn) (s layout, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("the module github.com/tidwall/evio is not v1.0.8, the only version that this transport works with: %w", err)
		}
	}()
	t := reflect.TypeOf(c)
	find := func(t reflect.Type, name string, kinds ...reflect.Kind) (index int) {
		f, ok := t.FieldByName(name)
		if !ok || len(f.Index) != 1 || f.Type.Kind() != kinds[0] || len(kinds) > 1 && f.Type.Elem().Kind() != kinds[1] {
			err = fmt.Errorf("%v has no field %s of kind %v", t, name, kinds)
			return 0
		}
		return f.Index[0]
	}
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return s, fmt.Errorf("a connection is a %v", t)
	}
	t = t.Elem()
	s.fd = find(t, "fd", reflect.Int)
	s.out = find(t, "out", reflect.Slice, reflect.Uint8)
	if s.loop = find(t, "loop", reflect.Pointer, reflect.Struct); err != nil {
		return s, err
	}
	t = t.Field(s.loop).Type.Elem()
	if s.poll = find(t, "poll", reflect.Pointer, reflect.Struct); err != nil {
		return s, err
	}
	s.epoll = find(t.Field(s.poll).Type.Elem(), "fd", reflect.Int)
	return s, err
}

// view gives access to these fields of one connection.
type view struct {
	out   reflect.Value // evio's unsent output
	fd    int           // evio's descriptor, closed before Closed is called
	epoll int
}

func (s layout) view(c lib.Conn) view {
	v := reflect.ValueOf(c).Elem()
	poll := v.Field(s.loop).Elem().Field(s.poll).Elem()
	return view{out: v.Field(s.out), fd: int(v.Field(s.fd).Int()), epoll: int(poll.Field(s.epoll).Int())}
}

// unsent is how many octets evio has not written yet.
func (v *view) unsent() int { return v.out.Len() }

// watch sets the events that evio's loop waits for. evio sets them itself when it is given
// output and when that is sent.
func (v *view) watch(events uint32) {
	_ = unix.EpollCtl(v.epoll, unix.EPOLL_CTL_MOD, v.fd, &unix.EpollEvent{Events: events, Fd: int32(v.fd)})
}

// writable says whether the kernel would take output now.
func (v *view) writable() bool {
	fds := []unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	return n > 0 || err != nil
}
