<?xml version="1.0" encoding="UTF-8"?>
<!-- СФР, СНИЛС с учётом дополнительных сведений 1.0.1: ответ → routes.sfr.snils.SnilsAnswer -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:s="http://kvs.pfr.com/snils-by-additionalData/1.0.1"
                xmlns:c="urn://x-artefacts-smev-gov-ru/supplementary/commons/1.0.1" exclude-result-prefixes="s c">
  <xsl:output method="xml" encoding="UTF-8" indent="no"/>

  <xsl:template match="/s:SnilsByAdditionalDataResponse">
    <answer>
      <surname><xsl:value-of select="normalize-space(c:FamilyName)"/></surname>
      <given><xsl:value-of select="normalize-space(c:FirstName)"/></given>
      <patronymic><xsl:value-of select="normalize-space(c:Patronymic)"/></patronymic>
      <birth><xsl:value-of select="substring(s:BirthDate, 1, 10)"/></birth>
      <snils><xsl:value-of select="s:Snils"/></snils>
    </answer>
  </xsl:template>
</xsl:stylesheet>
