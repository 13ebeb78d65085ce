"use strict";

const container = document.getElementById("redoc");
Redoc.init(container.dataset.document, {}, container);
