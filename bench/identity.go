package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// identityLasts is how long the certificate of a run is valid: longer than any run.
const identityLasts = 30 * 24 * time.Hour

// identity is what servers show to their TLS clients: a self-signed certificate for 127.0.0.1
// with an ECDSA P-256 key. It is made for one run, and its files
// are removed after the run.
type identity struct {
	dir, cert, key string
	trust          *tls.Config // of clients, which trust only this certificate
}

func newIdentity() (*identity, error) {
	wrong := func(err error) (*identity, error) {
		return nil, fmt.Errorf("bench: cannot make a TLS certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return wrong(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(identityLasts),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return wrong(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return wrong(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return wrong(err)
	}
	dir, err := os.MkdirTemp("", "bench-tls-")
	if err != nil {
		return wrong(err)
	}
	i := &identity{dir: dir, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), trust: &tls.Config{RootCAs: x509.NewCertPool()}}
	i.trust.RootCAs.AddCert(parsed)
	for file, block := range map[string]*pem.Block{i.cert: {Type: "CERTIFICATE", Bytes: der}, i.key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			i.remove()
			return wrong(err)
		}
	}
	return i, nil
}

// arguments are the arguments that make a chatd serve TLS.
func (i *identity) arguments() []string { return []string{"-tls-cert", i.cert, "-tls-key", i.key} }

func (i *identity) remove() { os.RemoveAll(i.dir) }
