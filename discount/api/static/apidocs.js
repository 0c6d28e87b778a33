SwaggerUIBundle({ url: "/openapi.json", dom_id: "#apidocs", deepLinking: true, validatorUrl: null });
