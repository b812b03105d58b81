"use strict";
// Frames of the chat protocol: encoding, decoding, and text made safe.
// A frame is a type, for files a command, a body without NUL, and NUL.

const CHAT = 0, CRED = 1, FILE = 2, CLOSE = 3;
const LS_REQ = 0, LS_START = 1, LS_BODY = 2, LS_END = 3, DN_REQ = 4, DN_ACK = 5, DN_NACK = 6;

// Octets. The first is what the server takes by default, the second the longest
// frame that any server sends.
const MAX_FRAME = 4096, MAX_FROM_SERVER = 256 * 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8"); // what is no UTF-8 becomes U+FFFD

// frame encodes; head is the type, or type and command.
function frame(head, text) {
  const body = encoder.encode(text.replaceAll("\0", ""));
  const out = new Uint8Array(head.length + body.length + 1);
  out.set(head);
  out.set(body, head.length);
  return out;
}

// FrameReader is given octets as they come, and calls take(type, command, body)
// for each frame; body is a string.
class FrameReader {
  constructor(take) {
    this.take = take;
    this.waiting = new Uint8Array(0);
  }

  // feed throws if what comes is not the protocol.
  feed(octets) {
    let all = octets;
    if (this.waiting.length > 0) {
      all = new Uint8Array(this.waiting.length + octets.length);
      all.set(this.waiting);
      all.set(octets, this.waiting.length);
    }
    let at = 0;
    while (at < all.length) {
      const type = all[at];
      if (type > CLOSE) throw new Error("this is no chat server");
      const head = type === FILE ? 2 : 1;
      if (all.length < at + head) break;
      const end = all.indexOf(0, at + head);
      if (end < 0) break;
      this.take(type, head === 2 ? all[at + 1] : 0, decoder.decode(all.subarray(at + head, end)));
      at = end + 1;
    }
    if (all.length - at > MAX_FROM_SERVER) throw new Error("the server sends a frame without end");
    this.waiting = all.slice(at);
  }
}

// safe makes control characters visible, as every client must.
function safe(text) {
  return text.replaceAll("\n", "\u2424").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
}

// cut splits a text at the first separator; the second part is "" without one.
function cut(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}
