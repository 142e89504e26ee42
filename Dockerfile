FROM node:26-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# the image has Node 26 itself, so the packages that bring it to other machines (optional ones) stay out
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund && npm sbom --package-lock-only --sbom-format=cyclonedx --omit=dev --omit=optional > sbom.cdx.json \
  && npm cache clean --force

FROM node:26-bookworm-slim
ENV NODE_ENV=production \
    CONFIG_DIR=/etc/gatehouse \
    NODE_COMPILE_CACHE=/tmp/gatehouse-compile-cache
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY --from=packages /app/sbom.cdx.json ./
COPY package.json ./
COPY src src
USER node
EXPOSE 3000 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.OPS_PORT||9090}/livez`).then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
ENTRYPOINT ["node", "/app/src/cli/gatehouse.ts"]
CMD ["serve"]
