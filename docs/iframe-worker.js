// A browser gives no workers to pages that are opened from the disk. There, a hidden frame does a worker's work, so
// that the search needs no server.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super()
      const base = new URL(address, location).href
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.documentElement.append(frame)
      const inside = frame.contentWindow
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      inside.importScripts = (...addresses) =>
        addresses.reduce((earlier, each) => earlier.then(() => load(each)), Promise.resolve())
      const load = each => new Promise((done, failed) => {
        const script = inside.document.createElement("script")
        script.src = new URL(each, base)
        script.onload = done
        script.onerror = () => failed(new Error(`${each} cannot be loaded`))
        inside.document.head.append(script)
      })
      this.addEventListener("message", event => this.onmessage?.(event))
      this.inside = inside
      this.ready = load(base)
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {
      this.inside.frameElement.remove()
    }
  }
}
