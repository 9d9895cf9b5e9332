"""The seam to WeCom (企业微信): signed callbacks in, calls out. Nobody else knows wechatpy."""
