"use strict";
// Viewers of the report: slices, synchronized cines, and the volume viewer on request.
(() => {
  const root = document.documentElement;
  const text = id => { const e = document.getElementById(id); return e ? e.textContent : null; };
  const volumes = JSON.parse(text("volumes") || "[]");
  const images = new Map();
  let showMasks = false;

  function load(src) {
    if (!images.has(src)) images.set(src, new Promise((done, fail) => {
      const image = new Image();
      image.onload = () => done(image);
      image.onerror = fail;
      image.src = src;
    }));
    return images.get(src);
  }

  // Draw one tile of a sprite sheet; a later request for the same canvas wins.
  async function paint(canvas, sheet, index) {
    const ticket = canvas.ticket = (canvas.ticket || 0) + 1;
    const layers = [await load(sheet.src)];
    if (showMasks && sheet.mask) layers.push(await load(sheet.mask));
    if (ticket !== canvas.ticket) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(64, Math.round((canvas.clientWidth || 220) * ratio));
    const height = Math.round(width / sheet.aspect);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    const [w, h] = sheet.tile, x = (index % sheet.across) * w, y = Math.floor(index / sheet.across) * h;
    for (const layer of layers) context.drawImage(layer, x, y, w, h, 0, 0, width, height);
    canvas.dataset.shown = index;
  }

  function slices() {
    const box = document.getElementById("slices");
    if (!box || !volumes.length) return;
    const select = document.getElementById("slice-case");
    const planes = [...box.querySelectorAll("[data-plane]")].map(view => ({
      name: view.dataset.plane, canvas: view.querySelector("canvas"),
      slider: view.querySelector("input"), note: view.querySelector("p")}));
    const draw = plane => {
      const sheet = volumes[select.value].planes[plane.name];
      paint(plane.canvas, sheet, +plane.slider.value);
      plane.note.textContent = `${plane.name} · ${+plane.slider.value + 1}/${sheet.n}`;
    };
    // One height for the three planes: each column is as wide as its plane is long.
    const open = () => {
      const shapes = volumes[select.value].planes;
      box.querySelector(".planes").style.gridTemplateColumns = planes.map(p => `${shapes[p.name].aspect}fr`).join(" ");
      planes.forEach(show);
    };
    const show = plane => {
      const sheet = volumes[select.value].planes[plane.name];
      plane.slider.max = sheet.n - 1;
      plane.slider.value = sheet.start;
      plane.canvas.setAttribute("aria-label", `${plane.name} slices of ${volumes[select.value].name}; arrow keys move`);
      draw(plane);
    };
    for (const plane of planes) {
      const step = by => { plane.slider.value = +plane.slider.value + by; draw(plane); };
      plane.slider.addEventListener("input", () => draw(plane));
      plane.canvas.addEventListener("wheel", event => { event.preventDefault(); step(Math.sign(event.deltaY)); }, {passive: false});
      plane.canvas.addEventListener("keydown", event => keys(event, step));
    }
    select.addEventListener("change", open);
    redraws.push(() => planes.forEach(draw));
    open();
  }

  function cines() {
    const views = [...document.querySelectorAll("#cines [data-volume]")];
    const slider = document.getElementById("frame"), note = document.getElementById("frame-note");
    const play = document.getElementById("play");
    if (!views.length || !slider) return;
    const longest = Math.max(...views.map(v => volumes[v.dataset.volume].frames));
    slider.max = longest - 1;
    // Cycles of different length are shown at the same share of the cycle.
    const draw = () => {
      for (const view of views) {
        const sheet = volumes[view.dataset.volume].cine;
        const index = sheet.n === longest ? +slider.value : Math.round(slider.value / Math.max(longest - 1, 1) * (sheet.n - 1));
        paint(view.querySelector("canvas"), sheet, index);
      }
      note.textContent = `frame ${+slider.value + 1}/${longest}, the same phase of the cycle in all`;
    };
    const step = by => { slider.value = (+slider.value + by + longest) % longest; draw(); };
    let timer = null;
    const period = Math.max(30, volumes[views[0].dataset.volume].frame_ms);
    const stop = () => { clearInterval(timer); timer = null; play.textContent = "▶ play"; play.setAttribute("aria-pressed", "false"); };
    play.addEventListener("click", () => {
      if (timer) return stop();
      timer = setInterval(() => step(1), period);
      play.textContent = "⏸ pause";
      play.setAttribute("aria-pressed", "true");
    });
    slider.addEventListener("input", draw);
    for (const view of views) view.querySelector("canvas").addEventListener("keydown", event => keys(event, step));
    document.addEventListener("visibilitychange", () => { if (document.hidden && timer) stop(); });
    redraws.push(draw);
    draw();
  }

  function keys(event, step) {
    const by = {ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5}[event.key];
    if (by) { event.preventDefault(); step(by); }
  }

  function masks() {
    for (const box of document.querySelectorAll(".show-masks")) box.addEventListener("change", () => {
      showMasks = box.checked;
      for (const other of document.querySelectorAll(".show-masks")) other.checked = showMasks;
      redraws.forEach(draw => draw());
    });
  }

  const bytes = base64 => Uint8Array.from(atob(base64), c => c.charCodeAt(0));
  let viewer = null;

  // The library lies compressed in the page; it becomes code only when somebody asks for it.
  async function makeViewer(canvas) {
    const packed = new Blob([bytes(text("niivue-code"))]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(packed).text();
    document.head.append(script);
    const made = new window.niivue.Niivue({logLevel: "error", crosshairWidth: 0.4, isRadiologicalConvention: true, show3Dcrosshair: true, multiplanarShowRender: 1, backColor: [0, 0, 0, 1]});
    await made.attachToCanvas(canvas);
    return made;
  }

  function volumeViewer() {
    const button = document.getElementById("open-niivue"), select = document.getElementById("niivue-case");
    const box = document.getElementById("volume-viewer"), note = document.getElementById("niivue-note");
    const time = document.getElementById("niivue-time"), frame = document.getElementById("niivue-frame");
    if (!button) return;
    const show = async () => {
      note.textContent = "opening…";
      box.hidden = false;
      try {
        if (!("DecompressionStream" in window)) throw new Error("this browser cannot decompress");
        viewer = viewer || await makeViewer(box.querySelector("canvas"));
        while (viewer.volumes.length) viewer.removeVolume(viewer.volumes[0]);
        const load = (id, more) => window.niivue.NVImage.loadFromBase64({base64: text(id), name: "volume.nii.gz", ...more});
        viewer.addVolume(await load(`nifti-${select.value}`, {}));
        if (text(`labels-${select.value}`)) viewer.addVolume(await load(`labels-${select.value}`, {colormap: "actc", opacity: 0.35}));
        viewer.setSliceType(viewer.sliceTypeMultiplanar);
        const frames = viewer.volumes[0].nFrame4D || 1;
        time.hidden = frames < 2;
        frame.max = frames - 1;
        frame.value = 0;
        note.textContent = "open; drag to move the crosshair, scroll to change slice";
        box.dataset.open = "true";
      } catch (error) {
        box.hidden = true;
        note.textContent = `the volume viewer does not run here (${error.message}); the slices above show the same data`;
      }
    };
    frame.addEventListener("input", () => { for (const volume of viewer.volumes) viewer.setFrame4D(volume.id, +frame.value); });
    button.addEventListener("click", show);
    select.addEventListener("change", () => { if (viewer) show(); });
  }

  const redraws = [];
  root.classList.add("js");
  slices();
  cines();
  masks();
  volumeViewer();
  let resizing = null;
  window.addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(() => redraws.forEach(draw => draw()), 120); });
})();
