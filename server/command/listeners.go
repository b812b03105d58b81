package command

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"chatbench/server"
)

// defineListeners defines the flags of the parts before the transport, and of the history.
func defineListeners(fs *flag.FlagSet, o *server.Options) {
	fs.StringVar(&o.TLSCert, "tls-cert", "", "certificate `FILE` (PEM, its chain after it): -listen then uses TLS; loaded again when it changes")
	fs.StringVar(&o.TLSKey, "tls-key", "", "key `FILE` of -tls-cert (PEM)")
	fs.Var(tlsVersion{&o.TLSMin}, "tls-min", "oldest version of TLS that is allowed, `1.3|1.2`")
	fs.StringVar(&o.Web, "web", "", "serve the browser page at `HOST:PORT`, with TLS if there is -tls-cert")
	fs.Var(hosts{&o.WebOrigins}, "web-origin", "further `HOST,…` whose pages may connect to -web, and whose names -web accepts on a loopback address")
	fs.Var(networks{&o.ProxyFrom}, "proxy-from", "trusted proxies, as `CIDR,…`: their connections begin with a PROXY header; for -web they set X-Forwarded-For")
	fs.IntVar(&o.History, "history", 0, "send clients that log in the last `N` lines that were said; 0: none")
	fs.StringVar(&o.HistoryFile, "history-file", "", "keep the lines of -history in `FILE`, so that they survive a restart")
}

// tlsVersion is a flag.Value for a version of TLS.
type tlsVersion struct{ version *uint16 }

func (v tlsVersion) String() string {
	switch {
	case v.version == nil:
		return ""
	case *v.version == tls.VersionTLS12:
		return "1.2"
	}
	return "1.3"
}

func (v tlsVersion) Set(text string) error {
	switch text {
	case "1.3":
		*v.version = tls.VersionTLS13
	case "1.2":
		*v.version = tls.VersionTLS12
	default:
		return errors.New("it must be 1.3 or 1.2")
	}
	return nil
}

// networks is a flag.Value for networks and single addresses.
type networks struct{ all *[]netip.Prefix }

func (v networks) String() string {
	if v.all == nil {
		return ""
	}
	var texts []string
	for _, p := range *v.all {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ",")
}

func (v networks) Set(text string) error {
	var all []netip.Prefix
	for _, one := range commaList(text) {
		p, err := netip.ParsePrefix(one)
		if addr, single := netip.ParseAddr(one); single == nil {
			addr = addr.Unmap().WithZone("")
			p, err = addr.Prefix(addr.BitLen())
		}
		if err != nil || p.Addr().Is4In6() {
			return fmt.Errorf("%q is no network, such as 10.0.0.0/8 or fd00::/8, and no address", one)
		}
		all = append(all, p.Masked())
	}
	*v.all = all
	return nil
}

// hosts is a flag.Value for hosts, which may be patterns of path.Match.
type hosts struct{ all *[]string }

func (v hosts) String() string {
	if v.all == nil {
		return ""
	}
	return strings.Join(*v.all, ",")
}

func (v hosts) Set(text string) error {
	all := commaList(text)
	for _, one := range all {
		if _, err := path.Match(one, ""); err != nil || one == "" || strings.Contains(one, "/") {
			return fmt.Errorf("%q is no host, such as chat.example.org or *.example.org", one)
		}
	}
	*v.all = all
	return nil
}

// commaList splits a flag's value at commas; an empty value is an empty list.
func commaList(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
