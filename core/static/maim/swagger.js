"use strict";

SwaggerUIBundle({
  domNode: document.getElementById("swagger"),
  url: document.getElementById("swagger").dataset.document,
  deepLinking: true,
});
