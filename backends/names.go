package backends

import "strings"

// Coalescing lists the names of the backends that obey Config.Coalesce, for use in a sentence:
// "epoll, poll or uring".
func Coalescing(all []Backend) string {
	return names(all, func(b Backend) bool { return b.Coalesces })
}

// Looping does the same for those that obey Config.Loops.
func Looping(all []Backend) string {
	return names(all, func(b Backend) bool { return b.Loops != nil })
}

func names(all []Backend, has func(Backend) bool) string {
	var names []string
	for _, b := range all {
		if has(b) {
			names = append(names, b.Name)
		}
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
