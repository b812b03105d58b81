"use strict";
// Shows what /live sends: one reading a second. Rates are made here, of two readings.

const byId = id => document.getElementById(id);
const kept = 120; // seconds in the plot
const rates = [];
let before = null;

// size writes a number of octets in binary units.
function size(octets) {
  let n = octets;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (n < 1024) return (n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)) + " " + unit;
    n /= 1024;
  }
  return n.toFixed(1) + " TiB";
}

const count = n => Math.round(n).toLocaleString("en-US");

// fill puts rows of [name, value] into a table; rows that stay keep their elements.
function fill(id, rows) {
  const body = byId(id);
  const old = new Map([...body.rows].map(row => [row.dataset.name, row]));
  for (const [name, value] of rows) {
    let row = old.get(name);
    if (!row) {
      row = body.insertRow();
      row.dataset.name = name;
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head);
      row.insertCell();
    }
    old.delete(name);
    row.cells[1].textContent = value;
  }
  for (const row of old.values()) row.remove();
}

function say(text, bad) {
  byId("state").textContent = text;
  byId("state").classList.toggle("bad", bad);
}

function plot() {
  const most = Math.max(1, ...rates);
  const at = (rate, i) => (240 * (kept - rates.length + i) / (kept - 1)).toFixed(1) + "," + (58 - 56 * rate / most).toFixed(1);
  byId("line").setAttribute("points", rates.map(at).join(" "));
  byId("plot-now").textContent = count(rates.at(-1) ?? 0);
  byId("plot-most").textContent = count(rates.length ? Math.max(...rates) : 0);
}

function show(r) {
  say(r.draining ? "draining" : "serving", r.draining);
  byId("backend").textContent = r.backend;
  const seconds = before ? (Date.parse(r.at) - Date.parse(before.at)) / 1000 : 0;
  const rate = read => seconds > 0 ? Math.max(0, read(r) - read(before)) / seconds : 0;
  const now = [
    ["in the room", count(r.room.granted)],
    ["logging in", count(r.room.pending)],
    ["places", count(r.max_clients)],
    ["received a second", size(rate(x => x.transport.bytes_in))],
    ["sent a second", size(rate(x => x.transport.bytes_out))],
    ["slowest client is behind", size(r.backlog.slowest_bytes)],
    ["log kept", r.backlog.chunks + " MiB"],
    ["clients that take too little", count(r.backlog.refusing)],
    ["clients whose input waits", count(r.backlog.waiting)],
    ["passwords to hash", count(r.hash_queue)],
    ["bans", count(r.bans)],
  ];
  if (r.front) now.push(["handshakes", count(r.front.handshakes)]);
  if (r.web) now.push(["WebSockets", count(r.web.open)]);
  if (r.certificate_expires) {
    now.push(["certificate", Math.floor((Date.parse(r.certificate_expires) - Date.parse(r.at)) / 86400000) + " days"]);
  }
  fill("now", now);
  fill("total", [
    ["connections", count(r.transport.accepts)],
    ["logins", count(r.room.logins)],
    ["messages", count(r.room.messages)],
    ["file frames", count(r.room.relayed)],
    ["received", size(r.transport.bytes_in)],
    ["sent", size(r.transport.bytes_out)],
    ["waited for flood control", count(r.room.flood_waits)],
    ["failed accepts", count(r.transport.accept_errors)],
    ["turned away: no descriptors", count(r.transport.no_descriptors)],
    ["log lines left out", count(r.log_lines_left_out)],
  ]);
  fill("logins", Object.entries(r.logins).map(([name, n]) => [name, count(n)]));
  const ends = Object.entries(r.room.ends).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  fill("ends", ends.length ? ends.map(([name, n]) => [name, count(n)]) : [["none", ""]]);
  if (seconds > 0) {
    rates.push(rate(x => x.room.messages));
    if (rates.length > kept) rates.shift();
  }
  plot();
  before = r;
}

const source = new EventSource("live");
source.onmessage = event => show(JSON.parse(event.data));
source.onerror = () => say("no connection to chatd", true);
