package front

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"chatbench/core/wire"
)

const (
	// watchEvery is how often the files of a certificate are checked for changes.
	watchEvery = 5 * time.Second
	// Expiring is the remaining time at which a certificate should have been renewed.
	// certbot renews Let's Encrypt's, which are valid for 90 days, 30 days before the end.
	Expiring = 14 * 24 * time.Hour
	// warnEvery is how often the log warns of a certificate that is expiring.
	warnEvery = 24 * time.Hour
)

// Certificate is a certificate and its key in two PEM files, which are loaded again when
// they change. Any goroutine may call its methods.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	now    atomic.Pointer[tls.Certificate]
	mu     sync.Mutex // one load at a time
	loaded [2]stamp   // guarded by mu: the files at the last try to load them
	warned time.Time  // guarded by mu: when the log last warned that the certificate in use expires
}

// stamp identifies a state of a file.
type stamp struct {
	modified time.Time
	changed  syscall.Timespec // changes with owner and mode too: the file may be readable now
	size     int64
	inode    uint64
}

// LoadCertificate loads a certificate and its key. The error names the bad file, and says
// what to do.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload loads the files again. After an error the certificate that was in use
// stays in use.
func (c *Certificate) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded = c.stamps()
	pair, err := load(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.now.Store(pair)
	c.log.Info("certificate loaded", "file", c.certFile, "names", pair.Leaf.DNSNames, "expires", pair.Leaf.NotAfter.UTC().Format(time.RFC3339),
		"days", days(time.Until(pair.Leaf.NotAfter)))
	c.warned = time.Time{}
	c.warn(time.Now())
	return nil
}

// warn says, once a day, that the certificate in use is expiring, or has expired. The
// caller holds mu.
func (c *Certificate) warn(now time.Time) {
	expires := c.Expires()
	left := expires.Sub(now)
	if left > Expiring || now.Sub(c.warned) < warnEvery {
		return
	}
	c.warned = now
	text := "the certificate expires soon: renew it; chatd loads the new one by itself"
	if left <= 0 {
		text = "the certificate has expired, so clients refuse it: renew it; chatd loads the new one by itself"
	}
	c.log.Warn(text, "file", c.certFile, "expires", expires.UTC().Format(time.RFC3339), "days", days(left))
}

// days is how many whole days there are in d.
func days(d time.Duration) int { return int(d / (24 * time.Hour)) }

// Watch loads the files again whenever they have changed, and warns once a day of a
// certificate that is expiring, until ctx ends.
func (c *Certificate) Watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.reloadIfChanged()
			c.mu.Lock()
			c.warn(now)
			c.mu.Unlock()
		}
	}
}

func (c *Certificate) reloadIfChanged() {
	c.mu.Lock()
	changed := c.stamps() != c.loaded
	c.mu.Unlock()
	if !changed {
		return
	}
	if err := c.Reload(); err != nil { // perhaps one of the two is still being written
		c.log.Error("cannot load the certificate: the old one stays in use", "err", err)
	}
}

// Expires is when the certificate in use expires.
func (c *Certificate) Expires() time.Time { return c.now.Load().Leaf.NotAfter }

// Name is the first DNS name in the certificate that is not a wildcard; "" if there is none.
func (c *Certificate) Name() string {
	for _, name := range c.now.Load().Leaf.DNSNames {
		if !strings.HasPrefix(name, "*") {
			return name
		}
	}
	return ""
}

// get is for tls.Config.GetCertificate.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.now.Load(), nil }

// stamps is the state of the two files; the zero stamp for a file that cannot be read.
func (c *Certificate) stamps() (s [2]stamp) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			s[i] = stamp{modified: info.ModTime(), size: info.Size()}
			if sys, ok := info.Sys().(*syscall.Stat_t); ok {
				s[i].changed, s[i].inode = sys.Ctim, sys.Ino
			}
		}
	}
	return s
}

// load reads a certificate and its key.
func load(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := readFile(certFile, "certificate")
	if err != nil {
		return nil, err
	}
	key, err := readFile(keyFile, "key")
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("front: certificate %s and key %s: %w; both are PEM, the certificate first in its file and the chain after it", certFile, keyFile, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fmt.Errorf("front: certificate %s: %w", certFile, err)
		}
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("front: certificate %s expired on %s: renew it", certFile, pair.Leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	return &pair, nil
}

// readFile reads a file. The error says what to do.
func readFile(name, what string) ([]byte, error) {
	data, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("front: %s cannot read %s %s%s: give that user access, for example with chgrp and chmod g+r", self(), what, name, owner(name))
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("front: there is no %s %s: check the path", what, name)
	case err != nil:
		return nil, fmt.Errorf("front: %s %s: %w", what, name, err)
	}
	return data, nil
}

// self is the user this process runs as.
func self() string {
	if u, err := user.Current(); err == nil {
		return "user " + u.Username
	}
	return "user " + strconv.Itoa(os.Getuid())
}

// owner describes the owner and the mode of a file; "" if they are not known.
func owner(name string) string {
	info, err := os.Stat(name)
	if err != nil {
		return " (and cannot search its directory)"
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	uid := strconv.Itoa(int(sys.Uid))
	if u, err := user.LookupId(uid); err == nil {
		uid = u.Username
	}
	return fmt.Sprintf(" (it belongs to %s, mode %04o)", uid, info.Mode().Perm())
}

// TLS is a server configuration with the certificate. least is the oldest version of TLS
// that is allowed, such as tls.VersionTLS13.
func (c *Certificate) TLS(least uint16) *tls.Config {
	return &tls.Config{GetCertificate: c.get, MinVersion: least, NextProtos: []string{wire.Protocol}}
}
