package nemesis

import (
	"fmt"
	"slices"

	"chatbench/core/wire"
)

// tryTakenName logs in at a chatd with a name that is in the room on another one. It returns what is wrong:
// any result but that the name is taken. It tries again while the chatd cannot say.
func (cl *cluster) tryTakenName(node int, name string) (wrong string) {
	var denied string
	var err error
	cl.await(func() bool {
		denied, err = cl.denial(node, name)
		return err == nil && denied != cutOffDenial
	})
	switch {
	case err != nil:
		return fmt.Sprintf("chatd%d does not answer a login: %v", node, err)
	case denied == "":
		return fmt.Sprintf("%s is in the room twice, the second time on chatd%d", name, node)
	case denied != wire.NameTaken:
		return fmt.Sprintf("chatd%d denies a login: %s", node, denied)
	}
	return ""
}

// denial is why a chatd denies a login; "": it does not.
func (cl *cluster) denial(node int, name string) (denied string, err error) {
	conn, err := cl.dial(node)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return newChatConn(conn).login(name, timeout)
}

// checkTakenNames tries to log in with a name of each chatd at all the others.
func (cl *cluster) checkTakenNames() (wrong []string) {
	all, _ := cl.in()
	for owner := range nodes {
		i := slices.IndexFunc(all, func(v *session) bool { return v.node == owner && !v.left.Load() })
		for node := range nodes {
			if node == owner || i < 0 {
				continue
			}
			if text := cl.tryTakenName(node, all[i].name); text != "" {
				wrong = append(wrong, text)
			}
		}
	}
	return wrong
}
