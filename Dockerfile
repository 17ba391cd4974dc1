# `make image` builds what is copied here: a static binary, and the empty directory of the data.
FROM scratch
COPY --chown=65532:65532 bin/image/ /
USER 65532:65532
ENV HALLMARK_DATA=/data
EXPOSE 5443
VOLUME /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s CMD ["/usr/local/bin/hallmark", "health", "--read"]
ENTRYPOINT ["/usr/local/bin/hallmark"]
CMD ["serve"]
