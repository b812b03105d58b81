package command

import (
	"errors"
	"fmt"

	"chatbench/core/users"
	"chatbench/internal/cmdline"
)

const userHelp = `chatd user add FILE NAME      make a user; the file is made if there is none
chatd user passwd FILE NAME   change a password
chatd user del FILE NAME      delete a user
chatd user list FILE          print the names

Passwords are asked for on the terminal, or read as one line if standard input is
not a terminal. A running server loads the file again on SIGHUP.
`

// user runs "chatd user".
func user(args []string) int {
	if len(args) > 0 && (args[0] == "-h" || args[0] == "--help" || args[0] == "help") {
		fmt.Print(userHelp)
		return cmdline.OK
	}
	wanted := map[string]int{"add": 3, "passwd": 3, "del": 3, "list": 2}
	if len(args) == 0 || wanted[args[0]] != len(args) {
		return cmdline.Fail("chatd user", cmdline.Usage,
			errors.New("give add, passwd or del FILE NAME, or list FILE: see chatd user -h"))
	}
	if err := edit(args[0], args[1], args[len(args)-1]); err != nil {
		return cmdline.Fail("chatd user", cmdline.Failed, err)
	}
	return cmdline.OK
}

func edit(verb, file, name string) error {
	switch verb {
	case "list":
		known, err := users.Load(file)
		if err != nil {
			return err
		}
		for _, name := range known.Names() {
			fmt.Println(name)
		}
		return nil
	case "del":
		return users.Delete(file, name)
	}
	password, err := newPassword()
	switch {
	case err != nil:
		return err
	case verb == "add":
		return users.Add(file, name, password)
	}
	return users.SetPassword(file, name, password)
}
