package chaos

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/bench/meter"
	"chatbench/client"
	"chatbench/internal/certtest"
)

// kill: the server is killed and started again.
func kill(x *run) {
	n, down := x.size.group, x.size.faultTime/10
	listen := "127.0.0.1:" + strconv.Itoa(x.freePort())
	args := []string{"-open", "-listen", listen}
	first := x.serve(args...)
	x.doing("%d clients that reconnect with backoff, kill -9, %v later a restart", n, down)
	c := x.joinClients(first.addr, n, true, nil)
	tree := meter.Tree(first.pid)
	unix.Kill(first.pid, unix.SIGKILL)
	<-first.ended
	x.wait(timeout, func() bool { return c.in.Load() == 0 }, "everybody notices")
	x.pause(down)
	left := int64(0)
	for _, pid := range tree[1:] {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(text) == "chatd\n" {
			left++
		}
	}
	second := x.serve(args...)
	x.within("95 % are back after", c.await(int64(n)*95/100, 2*timeout), 10*time.Second)
	c.await(int64(n), 2*timeout)
	x.exactly("processes left of the dead", left, 0)
	c.say(0, "here again")
	x.wait(timeout, func() bool { return c.clients[n-1].received.Load() > 0 }, "a message is delivered")
	x.exactly("in the new room", second.stats().Room.Granted, int64(n))
}

// term: the server is ended by SIGTERM while clients talk.
func term(x *run) {
	const talkers, every = 10, 200 * time.Millisecond
	n := x.size.group
	s := x.serve("-open")
	x.doing("%d clients, %d of them talk every %v, SIGTERM", n, talkers, every)
	c := x.joinClients(s.addr, n, false, nil)
	stop := make(chan struct{})
	for i := range talkers {
		p := c.clients[i]
		c.running.Go(func() {
			for k := 0; p.say(fmt.Sprint(k)) == nil; k++ {
				select {
				case <-time.After(every):
				case <-stop:
					return
				}
			}
		})
	}
	defer close(stop)
	x.pause(x.size.faultTime)
	took := s.stop()
	x.within("ended after", took, 5*time.Second)
	x.exactly("exit status", int64(s.cmd.ProcessState.ExitCode()), 0)
	x.wait(timeout, func() bool { return c.in.Load() == 0 }, "everybody has ended")
	closed := int64(0)
	for _, p := range c.clients {
		if errors.Is(p.lastErr(), client.ErrClosed) {
			closed++
		}
	}
	x.exactly("clients that were sent Close", closed, int64(n))
	x.exactly(fmt.Sprintf("of %d messages not sent to all", c.most()), c.most()-c.fewest(), 0)
	if c.most() == 0 {
		x.Error("no message was delivered")
	}
}

// certificate makes a certificate for tests, and a configuration of clients that trust it.
func (x *run) certificate() (certFile, keyFile string, trust *tls.Config) {
	x.Helper()
	certFile, keyFile = certtest.Write(x, x.TempDir(), time.Hour, "127.0.0.1", nearAddress)
	text, err := os.ReadFile(certFile)
	if err != nil {
		x.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return certFile, keyFile, &tls.Config{RootCAs: pool}
}

// reload: the server gets many SIGHUP, with good and with bad files.
func reload(x *run) {
	certFile, keyFile, trust := x.certificate()
	names := clientNames(x.size.users)
	users := x.usersFile(names...)
	bans := filepath.Join(x.TempDir(), "bans")
	s := x.serve("-users", users, "-bans", bans, "-tls-cert", certFile, "-tls-key", keyFile)
	x.doing("%d SIGHUP, half of them with a bad users file or a bad certificate, %d clients by TLS", x.size.reloads, len(names))
	c := x.joinClients(s.addr, len(names), true, trust)
	goodCert, err := os.ReadFile(certFile)
	if err != nil {
		x.Fatal(err)
	}
	good, bad := int64(0), int64(0)
	for i := range x.size.reloads {
		usersNow, certNow := usersText(names...), string(goodCert)
		switch i % 4 {
		case 1:
			usersNow = usersNow[:len(usersNow)-20]
		case 3:
			certNow = certNow[:len(certNow)/2]
		}
		x.write(users, usersNow)
		x.write(certFile, certNow)
		s.signal(unix.SIGHUP)
		if i%2 == 1 {
			bad++
		}
		if i%4 != 1 {
			good++ // users are loaded even if the certificate is bad
		}
		x.wait(timeout, func() bool {
			return s.log.count(`"msg":"loaded again"`) == good && s.log.count(`"msg":"reload"`, `"level":"ERROR"`) == bad
		}, "reload %d is in the log", i+1)
	}
	x.write(users, usersText(names...))
	x.write(certFile, string(goodCert))
	x.exactly("reloads that the log calls bad", s.log.count(`"msg":"reload"`, `"level":"ERROR"`), int64(x.size.reloads/2))
	if c.lost.Load() == 0 {
		for i := range c.clients {
			c.say(i, "still here")
		}
		c.waitForMessages(int64(len(c.clients)))
	}
	x.exactly("disconnected", c.lost.Load(), 0)
}
