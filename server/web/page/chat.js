"use strict";
// The conversation. Everything that comes from the server is shown as text.

const $ = (id) => document.getElementById(id);

const MAX_LINES = 2000;       // kept on the page
const LIST_TIMEOUT = 10000;   // ms until a list of files is given up
const FIRST_DELAY = 500, LAST_DELAY = 15000; // ms between two tries to come back

// Reasons of the server's, as core/wire/reason.go has them. After a final one the page
// does not come back by itself.
const WRONG_PASSWORD = "wrong name or password", NAME_TAKEN = "name is taken";
const FINAL = ["you are banned", "you were asked to leave", "your account was removed", "this server speaks TLS: connect with -tls"];
const isFinal = (reason) => FINAL.includes(reason) || reason.startsWith("name ") && reason !== NAME_TAKEN;

const people = new Set();
const lists = new Map();      // files of whom a list is coming in
let who = null;               // {name, password} while we want to be in the room
let socket = null;
let granted = false;
let delay = FIRST_DELAY, retry = 0;
let unread = 0;
let notice = "";              // the server's last, if nothing else has come since
let reason = "";              // why it hung up, in its words; "" if it has not said
let told = "";                // the reason that was shown last, while we are not let in

// Connection.

function connect() {
  const reader = new FrameReader(take);
  const ws = new WebSocket(new URL("ws", location.href.replace(/^http/, "ws")));
  ws.binaryType = "arraybuffer";
  socket = ws;
  granted = false;
  notice = reason = "";
  ws.onopen = () => ws.send(frame([CRED], who.name + " " + who.password));
  ws.onmessage = (e) => {
    try {
      reader.feed(new Uint8Array(e.data));
    } catch (err) {
      reason = err.message;
      ws.close();
    }
  };
  ws.onclose = () => { if (socket === ws) lost(); };
}

// lost comes back, later and later. The draft stays where it is.
function lost() {
  const was = granted;
  socket = null;
  granted = false;
  if (who === null) return;
  if ($("chat-view").hidden) { // it was the first try
    askAgain(reason || "The server cannot be reached.");
    return;
  }
  if (isFinal(reason) || !was && reason === WRONG_PASSWORD) {
    askAgain(reason);
    return;
  }
  if (was) {
    status("The connection is lost" + (reason ? ": " + reason : "") + ". Trying to come back …");
    people.clear();
    showPeople();
  } else if (reason && reason !== told) {
    told = reason;
    status("The server does not let you in yet: " + reason + ". Trying again …");
  }
  online(false);
  retry = setTimeout(connect, delay * (0.5 + Math.random() / 2));
  delay = Math.min(delay * 2, LAST_DELAY);
}

function leave() {
  who = null;
  clearTimeout(retry);
  if (socket) {
    if (socket.readyState === WebSocket.OPEN) socket.send(frame([CLOSE], ""));
    socket.close();
  }
  askAgain("");
}

// askAgain shows the form for the login, with what was wrong.
function askAgain(text) {
  who = null;
  $("login-error").textContent = text;
  $("chat-view").hidden = true;
  $("login-view").hidden = false;
  $(text && $("name").value ? "password" : "name").focus();
}

function send(head, text) {
  const octets = frame(head, text);
  if (octets.length > MAX_FRAME) {
    status(`Not said: it has ${octets.length - head.length - 1} octets, ${MAX_FRAME - head.length - 1} fit.`);
    return false;
  }
  socket.send(octets);
  return true;
}

// What arrives.

function take(type, command, body) {
  if (type === CLOSE) {
    reason ||= notice;
    socket.close();
    return;
  }
  notice = "";
  switch (type) {
    case CRED: return answered(body);
    case CHAT: return said(body);
    case FILE: return file(command, body);
  }
}

function answered(body) {
  const denied = "denied ";
  if (body.startsWith(denied)) {
    reason = safe(body.slice(denied.length));
    return;
  }
  granted = true;
  told = "";
  delay = FIRST_DELAY;
  const back = !$("chat-view").hidden;
  $("login-view").hidden = true;
  $("chat-view").hidden = false;
  people.clear();
  people.add(who.name);
  showPeople();
  online(true);
  status(back ? "Back in the room." : `You are in the room as ${who.name}.`);
  $("draft").focus();
}

function said(body) {
  const [from, text] = cut(body, ": ");
  if (from !== "server") {
    show({ from: safe(from), text: safe(text), mine: from === who.name });
    return;
  }
  notice = safe(text);
  if (!granted) {
    reason = notice;
    return;
  }
  show({ from: "server", text: notice, notice: true });
  if (follow(notice)) notice = ""; // who comes and goes is no reason to hang up
}

// follow keeps the list of who is here by what the server says of it; false if it says
// something else.
function follow(notice) {
  let found;
  if (notice.startsWith("here: ")) {
    for (const name of notice.slice(6).split(", ")) if (name !== "and others") people.add(name);
  } else if ((found = /^(\S+) has joined$/.exec(notice))) {
    people.add(found[1]);
  } else if ((found = /^(\S+) has left$/.exec(notice))) {
    people.delete(found[1]);
  } else if ((found = /^\d+ (joined|left): (.*?)( and \d+ more)?$/.exec(notice))) {
    for (const name of found[2].split(", ")) found[1] === "joined" ? people.add(name) : people.delete(name);
  } else {
    return false;
  }
  showPeople();
  return true;
}

// file answers those who ask for files, of which we have none, and takes the
// answers of those whom we have asked.
function file(command, body) {
  const [name, rest] = cut(body, " ");
  const list = lists.get(name.toLowerCase());
  switch (command) {
    case LS_REQ:
      socket.send(frame([FILE, LS_START], name));
      socket.send(frame([FILE, LS_END], name));
      break;
    case DN_REQ:
      socket.send(frame([FILE, DN_NACK], name + " " + rest));
      break;
    case LS_BODY:
      if (list && list.files.length < MAX_LINES) list.files.push(rest);
      break;
    case LS_END:
      if (list) listed(name, list);
  }
}

function askFor(name) {
  if (!granted || lists.has(name.toLowerCase())) return;
  const timer = setTimeout(() => {
    lists.delete(name.toLowerCase());
    status(`${name} has not answered.`);
  }, LIST_TIMEOUT);
  lists.set(name.toLowerCase(), { files: [], timer });
  send([FILE, LS_REQ], name);
}

function listed(name, list) {
  clearTimeout(list.timer);
  lists.delete(name.toLowerCase());
  const shown = safe(name);
  if (list.files.length === 0) {
    status(`${shown} shares no files.`);
    return;
  }
  const files = list.files.map(safe);
  status(`${shown} shares ${files.length === 1 ? "1 file" : files.length + " files"}. Files go from client to client: ` +
    `fetch them with the terminal client, chat, and /file dn ${shown} NAME.`, files);
}

// What is shown.

function online(is) {
  $("status").textContent = is ? "" : "not connected";
  document.body.classList.toggle("offline", !is);
}

function status(text, files) { show({ text, files, own: true }); }

function show(line) {
  const lines = $("lines");
  const below = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
  if (document.hidden && !line.own) markUnread(lines);
  const item = element("li", line.own ? "own" : line.notice ? "notice" : line.mine ? "mine" : "");
  const now = new Date();
  const time = element("time", "", now.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = now.toISOString();
  item.append(time, " ");
  if (line.from && !line.notice) item.append(element("bdi", "from hue" + hue(line.from), line.from), " ");
  item.append(element("bdi", "text", line.text));
  if (line.files) {
    const list = element("ul", "files");
    for (const name of line.files) list.append(element("li", "", name));
    item.append(list);
  }
  lines.append(item);
  while (lines.childElementCount > MAX_LINES) lines.firstElementChild.remove();
  if (below || line.mine) lines.scrollTop = lines.scrollHeight;
  $("newer").hidden = below || line.mine || line.own;
}

function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

// hue is always the same for the same name.
function hue(name) {
  let h = 0;
  for (const c of name) h = (h * 31 + c.codePointAt(0)) >>> 0;
  return h % 8;
}

// markUnread draws a line above what comes while nobody looks, and counts it.
function markUnread(lines) {
  if (unread === 0) {
    lines.querySelector(".unread")?.remove();
    const mark = element("li", "unread", "new");
    lines.append(mark);
  }
  unread++;
  document.title = `(${unread}) chat`;
}

function showPeople() {
  const names = $("names");
  names.replaceChildren();
  for (const name of [...people].sort((a, b) => a.localeCompare(b))) {
    const item = element("li");
    const button = element("button", "hue" + hue(name), name);
    button.type = "button";
    button.onclick = () => askFor(name);
    item.append(button);
    names.append(item);
  }
  $("show-people").textContent = `People (${people.size})`;
}

// What is typed.

const HELP = "What you say goes to everybody. /file ls NAME lists the files that NAME shares, /quit leaves; // says a line that begins with /.";

// enter does what a line asks for; false leaves the line where it is.
function enter(line) {
  if (line.trim() === "") return false;
  if (line.startsWith("/") && !line.startsWith("//")) return obey(line.trim());
  if (!granted) {
    status("Not said: there is no connection. Your line stays.");
    return false;
  }
  return send([CHAT], line.startsWith("//") ? line.slice(1) : line);
}

function obey(line) {
  const words = line.split(/\s+/);
  if (words[0] === "/quit" || words[0] === "/bye") leave();
  else if (words[0] === "/file" && words[1] === "ls" && words.length === 3) askFor(words[2]);
  else status(words[0] === "/help" ? HELP : `There is no ${safe(words[0])}. ${HELP}`);
  return true;
}

$("login").onsubmit = (e) => {
  e.preventDefault();
  const name = $("name").value.trim().normalize("NFC");
  if (/\s/.test(name)) {
    $("login-error").textContent = "A name must not contain a space.";
    return;
  }
  who = { name, password: $("password").value };
  $("login-error").textContent = "";
  connect();
};

// Enter while a syllable is being composed ends the composition and no more.
let composing = false;
$("draft").addEventListener("compositionstart", () => { composing = true; });
$("draft").addEventListener("compositionend", () => { composing = false; });
$("draft").addEventListener("keydown", (e) => {
  if (e.key === "Enter" && (e.isComposing || composing || e.keyCode === 229)) e.preventDefault();
});
$("say").onsubmit = (e) => {
  e.preventDefault();
  if (!composing && enter($("draft").value)) $("draft").value = "";
};

$("leave").onclick = leave;
$("newer").onclick = () => { $("lines").scrollTop = $("lines").scrollHeight; $("newer").hidden = true; };
$("lines").addEventListener("scroll", () => {
  const l = $("lines");
  if (l.scrollHeight - l.scrollTop - l.clientHeight < 40) $("newer").hidden = true;
});
$("show-people").onclick = () => {
  const open = document.body.classList.toggle("people-open");
  $("show-people").setAttribute("aria-expanded", String(open));
};
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unread = 0;
  document.title = "chat";
});
window.addEventListener("pagehide", () => {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(frame([CLOSE], ""));
});
$("name").focus();
