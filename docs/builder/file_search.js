// Search without a server. A browser does not start a Worker for a page that was opened from a file, so there the
// search's worker runs in a hidden frame instead, with the few parts of a Worker that it uses.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const inside = this.frame.contentWindow
      inside.postMessage = data => setTimeout(() => this.onmessage?.({ data }))
      const script = inside.document.createElement("script")
      this.ready = new Promise(resolve => { script.onload = resolve })
      script.onerror = () => this.onerror?.({ message: `cannot load ${url}` })
      script.src = url
      inside.document.head.append(script)
    }

    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow?.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {
      this.frame.remove()
    }
  }
}
